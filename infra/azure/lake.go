package azure

import (
	"net/url"
	"strings"

	"godwit.dev/runtime/lazy"
)

// A place is where a prefix of batches is: below a container of the function's
// own storage, or of an account that is there.
type place struct {
	account   string // "" is the function's own
	container string
	path      string // within the container, ending in a slash; "" is all of it
}

// containerName is Azure's own form of one, and accountName of an account.
var (
	containerName = lazy.Regexp(`^[a-z0-9](-?[a-z0-9]){2,62}$`)
	accountName   = lazy.Regexp(`^[a-z0-9]{3,24}$`)
)

// placeOf reads batch.input or batch.output; ok tells whether Azure has it.
func placeOf(prefix string) (p place, ok bool) {
	if !strings.Contains(prefix, "://") {
		return place{container: dataAt, path: folder(strings.TrimPrefix(prefix, "./"))}, true
	}
	u, err := url.Parse(prefix)
	if err != nil || u.Scheme != "azblob" {
		return place{}, false
	}
	p.account = u.Host
	p.container, p.path, _ = strings.Cut(strings.Trim(u.Path, "/"), "/")
	p.path = folder(p.path)
	return p, accountName().MatchString(p.account) && containerName().MatchString(p.container)
}

func folder(path string) string {
	if path = strings.Trim(path, "/"); path == "" || path == "." {
		return ""
	}
	return path + "/"
}

// places are those of batch.input and batch.output.
func (b *builder) places() (in, out place) {
	if b.s.Batch == nil {
		return place{container: dataAt}, place{container: dataAt}
	}
	in, _ = placeOf(b.s.Batch.Input)
	out, _ = placeOf(b.s.Batch.Output)
	return in, out
}

// ownData tells that some of a batch's data is in the function's own storage.
func (b *builder) ownData() bool {
	in, out := b.places()
	return b.s.Batch != nil && (in.account == "" || out.account == "") || b.s.Batch == nil && b.trigger("objects")
}

const lakeGroup = "batchResourceGroup"

// lakes lets the function read and write containers of accounts that are there.
func (b *builder) lakes() {
	in, out := b.places()
	if in.account == "" && out.account == "" {
		return
	}
	const path = "modules/container-role.bicep"
	t := begin(b.d)
	for _, name := range []string{"accountName", "containerName", "identityId", "principalId", "roleId"} {
		t.add(&param{name: name, typ: "string"})
	}
	account := &resource{symbol: "account", typ: "Microsoft.Storage/storageAccounts@2025-01-01", existing: true, name: ref("accountName")}
	blobs := &resource{symbol: "blobs", typ: "Microsoft.Storage/storageAccounts/blobServices@2025-01-01", existing: true, name: "default", parent: account}
	container := &resource{symbol: "container", typ: "Microsoft.Storage/storageAccounts/blobServices/containers@2025-01-01", existing: true, name: ref("containerName"), parent: blobs}
	t.add(account, blobs, container, granted("role", ref("roleId"), container, ref("identityId"), ref("principalId"), ""))
	b.modules[path] = t
	b.param(&param{name: lakeGroup, typ: "string", about: "Where the storage accounts of batch.input and batch.output are.", value: fn("resourceGroup").at("name")})
	give := func(symbol string, r role, p place) {
		b.main.add(&module{
			symbol: symbol, path: path, name: "container-role-" + symbol, group: ref(lakeGroup), of: t,
			params: of("accountName", p.account, "containerName", p.container, "identityId", ref("identity.id"), "principalId", ref("identity.properties.principalId"), "roleId", b.role(r)),
		})
	}
	if in.account != "" && (in.account != out.account || in.container != out.container) {
		give("readsRows", blobDataReader, in)
	}
	if out.account != "" {
		give("writesScores", blobDataContributor, out)
	}
	b.out("AZURE_BATCH_RESOURCE_GROUP", ref(lakeGroup))
}

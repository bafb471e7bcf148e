package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// A source is one Go file of the repository.
type source struct {
	path    string // from the repository's root, with slashes
	folder  string // path's folder; "" at the root
	test    bool   // a _test.go file
	imports []string
	ast     *ast.File
	fset    *token.FileSet
}

// scan parses every Go file below fsys but those in testdata, in vendored and
// installed dependencies, and in folders that the go tool ignores too.
func scan(fsys fs.FS) ([]source, error) {
	var files []source
	fset := token.NewFileSet()
	err := fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			hidden := strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")
			if p != "." && (hidden || name == "testdata" || name == "node_modules" || name == "vendor") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || !d.Type().IsRegular() {
			return nil
		}
		text, err := fs.ReadFile(fsys, p)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(fset, p, text, parser.SkipObjectResolution)
		if err != nil {
			return fmt.Errorf("parse: %w", err)
		}
		s := source{path: p, folder: path.Dir(p), test: strings.HasSuffix(name, "_test.go"), ast: f, fset: fset}
		if s.folder == "." {
			s.folder = ""
		}
		for _, spec := range f.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return fmt.Errorf("%s: import %s: %w", p, spec.Path.Value, err)
			}
			s.imports = append(s.imports, imported)
		}
		files = append(files, s)
		return nil
	})
	return files, err
}

// importViolations names both ends of every import that the rows or bans forbid.
func importViolations(files []source) []string {
	var found []string
	for _, s := range files {
		r, ok := rowOf(s.folder)
		if !ok {
			found = append(found, fmt.Sprintf("%s: folder %q has no row in internal/archtest; give it one, which says what it may import (%s)", s.path, s.folder, arrow))
			continue
		}
		for _, imported := range s.imports {
			to, ours := folderOf(imported)
			if !ours {
				found = append(found, bansOn(s, imported)...)
				continue
			}
			if inside(to, r.folder) && r.folder != "" || to == s.folder || allowed(r, s.test, to) {
				continue
			}
			found = append(found, fmt.Sprintf("%s: %s must not import %s; it may import %s (rule: %s)",
				s.path, nameOf(s.folder), nameOf(to), list(r, s.test), arrow))
		}
	}
	return found
}

func bansOn(s source, imported string) []string {
	var found []string
	for _, b := range bans {
		if !s.test && inside(s.folder, b.folder) && inside(imported, b.path) {
			found = append(found, fmt.Sprintf("%s: %s must not import %s: %s", s.path, nameOf(s.folder), imported, b.why))
		}
	}
	return found
}

// rowOf is the row whose folder is the longest that holds folder. Of equals
// the first wins, so "adapters/oip" stands above "adapters/*" in rows.
func rowOf(folder string) (best row, ok bool) {
	for _, r := range rows {
		if parent, star := strings.CutSuffix(r.folder, "*"); star {
			rest, below := strings.CutPrefix(folder, parent)
			if !below {
				continue
			}
			first, _, _ := strings.Cut(rest, "/")
			r.folder = parent + first
		}
		matches := folder == r.folder || r.folder != "" && inside(folder, r.folder)
		if matches && (!ok || len(r.folder) > len(best.folder)) {
			best, ok = r, true
		}
	}
	return best, ok
}

func allowed(r row, test bool, to string) bool {
	sets := [][]string{r.may}
	if test {
		sets = append(sets, aids, r.tests)
	}
	for _, set := range sets {
		for _, folder := range set {
			if folder == "*" || inside(to, folder) {
				return true
			}
		}
	}
	return false
}

func list(r row, test bool) string {
	may := r.may
	if test {
		may = join(join(r.may, aids...), r.tests...)
	}
	if len(may) == 0 {
		return "nothing of ours"
	}
	return strings.Join(may, ", ")
}

// folderOf is the folder of an import path, and whether it is ours.
func folderOf(imported string) (folder string, ours bool) {
	if imported == Module {
		return "", true
	}
	return strings.CutPrefix(imported, Module+"/")
}

func inside(p, root string) bool { return p == root || strings.HasPrefix(p, root+"/") }

func nameOf(folder string) string {
	if folder == "" {
		return "the root package"
	}
	return folder
}

// A use is one mention of a package's name, as os.Exit.
type use struct{ path, name string }

// usesOf returns where s mentions a name of pkg that is in names, under
// whatever name it imports pkg.
func usesOf(s source, pkg string, names ...string) []use {
	local := ""
	for _, spec := range s.ast.Imports {
		if spec.Path.Value == strconv.Quote(pkg) {
			local = path.Base(pkg)
			if spec.Name != nil {
				local = spec.Name.Name
			}
		}
	}
	if local == "" {
		return nil
	}
	var found []use
	ast.Inspect(s.ast, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		x, ok := sel.X.(*ast.Ident)
		for _, name := range names {
			if ok && x.Name == local && sel.Sel.Name == name {
				found = append(found, use{s.fset.Position(sel.Pos()).String(), local + "." + name})
			}
		}
		return true
	})
	return found
}

// skips returns where s calls Skip, Skipf or SkipNow on a parameter that is a
// test, a benchmark or a fuzz target.
func skips(s source) []use {
	testers := map[string]bool{}
	ast.Inspect(s.ast, func(n ast.Node) bool {
		f, ok := n.(*ast.FuncType)
		if !ok || f.Params == nil {
			return true
		}
		for _, p := range f.Params.List {
			typ := p.Type
			if star, ok := typ.(*ast.StarExpr); ok {
				typ = star.X
			}
			sel, ok := typ.(*ast.SelectorExpr)
			if !ok {
				continue
			}
			if x, ok := sel.X.(*ast.Ident); !ok || x.Name != "testing" {
				continue
			}
			for _, name := range p.Names {
				testers[name.Name] = true
			}
		}
		return true
	})
	var found []use
	ast.Inspect(s.ast, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok || !strings.HasPrefix(sel.Sel.Name, "Skip") || sel.Sel.Name == "Skipped" {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && testers[x.Name] {
			found = append(found, use{s.fset.Position(sel.Pos()).String(), x.Name + "." + sel.Sel.Name})
		}
		return true
	})
	return found
}

package awsauth

import (
	"cmp"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"godwit.dev/runtime/fault"
)

// profile is a profile's settings; the shared credentials file's are before the
// configuration file's.
type profile []map[string]string

func (p profile) get(name string) string {
	for _, settings := range p {
		if settings[name] != "" {
			return settings[name]
		}
	}
	return ""
}

func (c *Chain) profileName() string {
	return cmp.Or(c.o.Getenv("AWS_PROFILE"), c.o.Getenv("AWS_DEFAULT_PROFILE"), "default")
}

// profile reads the shared files. What cannot be read is empty.
func (c *Chain) profile() profile {
	name := c.profileName()
	home := cmp.Or(c.o.Getenv("HOME"), c.o.Getenv("USERPROFILE"))
	var p profile
	for _, f := range []struct{ path, at, section string }{
		{c.o.Getenv("AWS_SHARED_CREDENTIALS_FILE"), "credentials", name},
		{c.o.Getenv("AWS_CONFIG_FILE"), "config", "profile " + name},
	} {
		if f.path == "" && home != "" {
			f.path = filepath.Join(home, ".aws", f.at)
		}
		text, err := os.ReadFile(f.path)
		if err != nil {
			continue
		}
		p = append(p, section(string(text), f.section))
		if name == "default" {
			p = append(p, section(string(text), name))
		}
	}
	return p
}

// section reads the settings of one section of an INI file.
func section(text, name string) map[string]string {
	settings := map[string]string{}
	in := false
	for line := range strings.Lines(text) {
		switch trimmed := strings.TrimSpace(line); {
		case trimmed == "", trimmed[0] == '#', trimmed[0] == ';', line[0] == ' ', line[0] == '\t': // indented: a setting's own settings
		case trimmed[0] == '[':
			head, _, _ := strings.Cut(trimmed[1:], "]")
			in = strings.Join(strings.Fields(head), " ") == name
		case in:
			key, value, _ := strings.Cut(trimmed, "=")
			settings[strings.ToLower(strings.TrimSpace(key))] = strings.TrimSpace(value)
		}
	}
	return settings
}

// files reads static keys from the shared files, or asks the program that a
// profile names. Roles and single sign-on are the aws command's to know: it is
// asked where a profile has them.
func (c *Chain) files(ctx context.Context) (*Credentials, error) {
	const op = "aws.Profile"
	p, name := c.profile(), c.profileName()
	if id := p.get("aws_access_key_id"); id != "" && p.get("role_arn") == "" {
		return &Credentials{ID: id, Secret: p.get("aws_secret_access_key"), Token: p.get("aws_session_token")}, nil
	}
	var cmd *exec.Cmd
	switch {
	case p.get("credential_process") != "":
		args, err := words(p.get("credential_process"))
		if err != nil {
			return nil, fault.New(fault.BadConfig, op, name, "credential_process: %w", err)
		}
		cmd = exec.CommandContext(ctx, args[0], args[1:]...)
	case p.get("role_arn") != "", p.get("sso_session") != "", p.get("sso_start_url") != "", p.get("login_session") != "":
		cmd = exec.CommandContext(ctx, "aws", "configure", "export-credentials", "--format", "process", "--profile", name)
	case len(p) == 0 && name != "default":
		return nil, fault.New(fault.BadConfig, op, name, "want a profile of the shared files, which are not there").
			WithHint("Unset AWS_PROFILE, or make the profile with aws configure.")
	default:
		return nil, nil
	}
	out, err := cmd.Output()
	if err != nil {
		return nil, fault.New(fault.Unauthenticated, op, name, "%s: %w", filepath.Base(cmd.Path), err).
			WithHint("Log in again: aws sso login --profile %s.", name)
	}
	return decode(op, out)
}

// words cuts a command line at spaces outside double quotes.
func words(line string) ([]string, error) {
	var args []string
	word, in, quoted := "", false, false
	for _, r := range line {
		switch {
		case r == '"':
			quoted, in = !quoted, true
		case (r == ' ' || r == '\t') && !quoted:
			if in {
				args, word, in = append(args, word), "", false
			}
		default:
			word, in = word+string(r), true
		}
	}
	if in {
		args = append(args, word)
	}
	if quoted || len(args) == 0 {
		return nil, fault.New(fault.BadConfig, "", "", "want a command line, got %q", line)
	}
	return args, nil
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// pack is one package, read and typed.
type pack struct {
	name  string // short: adapters/knative
	path  string // of import
	dir   string
	fset  *token.FileSet
	files []*source
	info  *types.Info
	types *types.Package
}

// source is one file of a package, without its tests.
type source struct {
	path string
	text []byte
	tree *ast.File
}

// load reads the package in dir as the go tool sees it, and types it against
// what the go tool has compiled its imports to.
func load(ctx context.Context, dir string) (*pack, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-deps", "-export", "-json=ImportPath,Dir,GoFiles,CgoFiles,Export,DepOnly,Module", "./"+filepath.ToSlash(filepath.Clean(dir)))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	exports := map[string]string{}
	p := &pack{fset: token.NewFileSet()}
	var names []string
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var one struct {
			ImportPath, Dir, Export string
			GoFiles, CgoFiles       []string
			DepOnly                 bool
			Module                  *struct{ Path string }
		}
		if err := dec.Decode(&one); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		exports[one.ImportPath] = one.Export
		if one.DepOnly {
			continue
		}
		if len(one.CgoFiles) > 0 {
			return nil, errors.New("want a package without cgo")
		}
		p.path, p.dir, names = one.ImportPath, one.Dir, one.GoFiles
		p.name = one.ImportPath
		if one.Module != nil {
			p.name = strings.TrimPrefix(one.ImportPath, one.Module.Path+"/")
		}
	}
	var trees []*ast.File
	for _, name := range names {
		s := &source{path: filepath.Join(p.dir, name)}
		if s.text, err = os.ReadFile(s.path); err != nil {
			return nil, err
		}
		if s.tree, err = parser.ParseFile(p.fset, s.path, s.text, parser.SkipObjectResolution); err != nil {
			return nil, err
		}
		p.files, trees = append(p.files, s), append(trees, s.tree)
	}
	p.info = &types.Info{
		Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{},
		Defs: map[*ast.Ident]types.Object{}, Selections: map[*ast.SelectorExpr]*types.Selection{},
	}
	conf := types.Config{Importer: importer.ForCompiler(p.fset, "gc", func(path string) (io.ReadCloser, error) {
		file := exports[path]
		if file == "" {
			return nil, fmt.Errorf("want compiled %q, got none", path)
		}
		return os.Open(file)
	})}
	p.types, err = conf.Check(p.path, p.fset, trees, p.info)
	return p, err
}

// offset is where pos is in its file, in bytes.
func (p *pack) offset(pos token.Pos) int { return p.fset.Position(pos).Offset }

// typeName writes t as file s would, or "" where it has no name for it.
func (p *pack) typeName(s *source, t types.Type) string {
	known := true
	name := types.TypeString(t, func(other *types.Package) string {
		if other == p.types {
			return ""
		}
		for _, spec := range s.tree.Imports {
			if strings.Trim(spec.Path.Value, `"`) != other.Path() {
				continue
			}
			if spec.Name == nil {
				return other.Name()
			}
			if spec.Name.Name != "_" && spec.Name.Name != "." {
				return spec.Name.Name
			}
		}
		known = false
		return ""
	})
	if !known || strings.Contains(name, "untyped") {
		return ""
	}
	return name
}

package main

import (
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"strconv"
	"strings"
)

// finder walks one file. Each mistake it finds becomes a mutant.
type finder struct {
	p     *pack
	s     *source
	in    string // the function walked
	stack []ast.Node
	out   []*mutant
}

// find returns every mistake that the tool can make in the package, numbered
// from 1.
func find(p *pack) []*mutant {
	var all []*mutant
	for _, s := range p.files {
		f := &finder{p: p, s: s}
		for _, decl := range s.tree.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Body != nil {
					f.in = d.Name.Name
					f.walk(d.Body)
				}
			case *ast.GenDecl:
				if d.Tok == token.VAR {
					f.in = "var"
					f.walk(d)
				}
			}
		}
		all = append(all, f.out...)
	}
	for i, m := range all {
		m.id = i + 1
	}
	return all
}

func (f *finder) walk(root ast.Node) {
	ast.Inspect(root, func(n ast.Node) bool {
		if n == nil {
			f.stack = f.stack[:len(f.stack)-1]
			return true
		}
		down := f.visit(n)
		if down {
			f.stack = append(f.stack, n)
		}
		return down
	})
}

func (f *finder) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.GenDecl:
		return n.Tok == token.VAR
	case *ast.BlockStmt:
		f.statements(n.List)
	case *ast.CaseClause:
		f.statements(n.Body)
	case *ast.CommClause:
		f.statements(n.Body)
	case *ast.IfStmt:
		f.early(n)
	case *ast.ReturnStmt:
		f.returned(n)
	case *ast.ArrayType, *ast.StructType, *ast.InterfaceType, *ast.FuncType:
		return false
	case ast.Expr:
		return f.expression(n)
	}
	return true
}

// parent is what holds the node visited.
func (f *finder) parent() ast.Node {
	if len(f.stack) == 0 {
		return nil
	}
	return f.stack[len(f.stack)-1]
}

func (f *finder) text(n ast.Node) string {
	return string(f.s.text[f.p.offset(n.Pos()):f.p.offset(n.End())])
}

func (f *finder) add(n ast.Node, what, to string, wrap func(id string, inner string) string) {
	m := &mutant{
		file: f.s, line: f.p.fset.Position(n.Pos()).Line, in: f.in, what: what,
		from: brief(f.text(n)), to: brief(to), start: f.p.offset(n.Pos()), end: f.p.offset(n.End()),
	}
	m.wrap = func(inner string) string { return wrap(strconv.Itoa(m.id), inner) }
	f.out = append(f.out, m)
}

func brief(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > 90 {
		return string(r[:88]) + " …"
	}
	return s
}

// value has the expression be another one, where both may be worked out.
func (f *finder) value(e ast.Expr, what, of, other string) {
	f.add(e, what, other, func(id, inner string) string {
		return "mutateValue" + of + "(" + id + ", " + inner + ", " + other + ")"
	})
}

// statements removes what leaves the function in one piece.
func (f *finder) statements(list []ast.Stmt) {
	for _, s := range list {
		switch s := s.(type) {
		case *ast.ExprStmt:
			call, ok := ast.Unparen(s.X).(*ast.CallExpr)
			if !ok || f.isWords(call) || f.called(call) == "panic" || strings.HasSuffix(f.called(call), ".Grow") {
				continue
			}
		case *ast.AssignStmt:
			if s.Tok == token.DEFINE {
				continue
			}
		case *ast.IncDecStmt, *ast.DeferStmt, *ast.SendStmt:
		default:
			continue
		}
		f.add(s, "removed", "", func(id, inner string) string { return "if !mutateIs(" + id + ") { " + inner + " }" })
	}
}

// early removes the jump at the end of an if without else.
func (f *finder) early(n *ast.IfStmt) {
	if n.Else != nil || len(n.Body.List) == 0 {
		return
	}
	switch last := n.Body.List[len(n.Body.List)-1].(type) {
	case *ast.ReturnStmt, *ast.BranchStmt:
		f.add(last, "goes on", "", func(id, inner string) string { return "if !mutateIs(" + id + ") { " + inner + " }" })
	}
}

// returned has an error be none.
func (f *finder) returned(n *ast.ReturnStmt) {
	for _, e := range n.Results {
		tv := f.p.info.Types[e]
		if tv.IsNil() || !types.Identical(tv.Type, types.Universe.Lookup("error").Type()) {
			continue
		}
		f.value(e, "no error", "[error]", "nil")
	}
}

func (f *finder) expression(e ast.Expr) bool {
	tv, ok := f.p.info.Types[e]
	if !ok {
		return true
	}
	if tv.IsType() {
		return false
	}
	if tv.Value != nil {
		f.constant(e, tv)
		return false
	}
	switch e := e.(type) {
	case *ast.KeyValueExpr, *ast.ParenExpr:
		return true
	case *ast.BinaryExpr:
		f.binary(e, tv)
	case *ast.CallExpr:
		if f.called(e) == "append" && len(e.Args) > 1 && !f.assigned() {
			f.value(e, "not appended", "", f.text(e.Args[0]))
		}
	}
	if basic, ok := tv.Type.(*types.Basic); ok && basic.Info()&types.IsBoolean != 0 && tv.IsValue() && f.decides(e) {
		f.add(e, "negated", "", func(id, inner string) string { return "((" + inner + ") != mutateIs(" + id + "))" })
	}
	return true
}

// assigned reports whether the node visited is all that a = assigns, which
// removing the assignment sees to.
func (f *finder) assigned() bool {
	a, ok := f.parent().(*ast.AssignStmt)
	return ok && a.Tok == token.ASSIGN && len(a.Rhs) == 1
}

// decides reports whether the boolean e, which is visited, says where to go on
// or is an answer.
func (f *finder) decides(e ast.Expr) bool {
	switch up := f.parent().(type) {
	case *ast.IfStmt, *ast.ForStmt, *ast.ReturnStmt:
		return true
	case *ast.CaseClause:
		return true
	case *ast.AssignStmt:
		_, compares := ast.Unparen(e).(*ast.BinaryExpr)
		return compares && len(up.Lhs) == len(up.Rhs)
	case *ast.BinaryExpr:
		return up.Op == token.LAND || up.Op == token.LOR
	case *ast.KeyValueExpr, *ast.CallExpr:
		_, compares := ast.Unparen(e).(*ast.BinaryExpr)
		return compares
	}
	return false
}

var swaps = map[token.Token]token.Token{
	token.LSS: token.LEQ, token.LEQ: token.LSS, token.GTR: token.GEQ, token.GEQ: token.GTR,
	token.LAND: token.LOR, token.LOR: token.LAND,
	token.ADD: token.SUB, token.SUB: token.ADD, token.MUL: token.QUO, token.QUO: token.MUL, token.REM: token.MUL,
	token.AND: token.OR, token.OR: token.AND, token.SHL: token.SHR, token.SHR: token.SHL,
}

// binary swaps the operator.
func (f *finder) binary(e *ast.BinaryExpr, tv types.TypeAndValue) {
	op, ok := swaps[e.Op]
	if !ok || strings.Contains(f.text(e), "\n") {
		return
	}
	basic, ok := tv.Type.Underlying().(*types.Basic)
	if !ok || basic.Info()&types.IsString != 0 {
		return
	}
	of := "bool"
	if basic.Info()&types.IsBoolean == 0 {
		if of = f.p.typeName(f.s, tv.Type); of == "" {
			return
		}
	}
	wrong := f.text(e.X) + " " + op.String() + " " + f.text(e.Y)
	if op == token.LAND || op == token.LOR { // a && b || c must not change what it binds
		wrong = "(" + f.text(e.X) + ") " + op.String() + " (" + f.text(e.Y) + ")"
	}
	f.add(e, "operator", wrong, func(id, inner string) string {
		return "func() " + of + " { if mutateIs(" + id + ") { return " + wrong + " }; return " + inner + " }()"
	})
}

// constant has a constant be another one.
func (f *finder) constant(e ast.Expr, tv types.TypeAndValue) {
	switch up := f.parent().(type) {
	case *ast.KeyValueExpr:
		if up.Key == e && !f.inMap() {
			return
		}
	case *ast.CallExpr: // how much room to make is no behaviour
		if f.called(up) == "make" && len(up.Args) > 1 && up.Args[len(up.Args)-1] == e && (len(up.Args) == 3 || f.isMap(up.Args[0])) {
			return
		}
	}
	of := f.p.typeName(f.s, types.Default(tv.Type))
	basic, ok := tv.Type.Underlying().(*types.Basic)
	if !ok || of == "" {
		return
	}
	var other string
	switch {
	case basic.Info()&types.IsBoolean != 0:
		other = strconv.FormatBool(!constant.BoolVal(tv.Value))
	case basic.Info()&types.IsString != 0:
		if f.inWords() {
			return
		}
		other = strconv.Quote(constant.StringVal(tv.Value) + "x")
	case basic.Info()&types.IsInteger != 0:
		v, exact := constant.Int64Val(constant.ToInt(tv.Value))
		switch {
		case !exact:
			return
		case v >= 1000 || v <= -100: // a size or a time: one more is none that a test can see
			v /= 2
		case v == 255 || v == 127:
			v--
		default:
			v++
		}
		other = strconv.FormatInt(v, 10)
	default:
		return
	}
	f.value(e, "constant", "["+of+"]", other)
}

// inMap reports whether the key-value visited is a map's.
func (f *finder) inMap() bool {
	if len(f.stack) < 2 {
		return false
	}
	lit, ok := f.stack[len(f.stack)-2].(*ast.CompositeLit)
	return ok && f.isMap(lit)
}

func (f *finder) isMap(e ast.Expr) bool {
	_, ok := f.p.info.Types[e].Type.Underlying().(*types.Map)
	return ok
}

// inWords reports whether what is visited is words of an error or of a log
// line, which no test of ours may look at.
func (f *finder) inWords() bool {
	for _, n := range f.stack {
		if call, ok := n.(*ast.CallExpr); ok && f.isWords(call) {
			return true
		}
	}
	return false
}

// isWords reports whether the call makes an error or a log line.
func (f *finder) isWords(call *ast.CallExpr) bool {
	name := f.called(call)
	if tv := f.p.info.Types[call]; tv.Type != nil && tv.Type.String() == "*"+f.module()+"/runtime/fault.Error" {
		return true
	}
	return strings.HasPrefix(name, "log/slog.") || strings.HasPrefix(name, f.module()+"/runtime/fault.") || name == "fmt.Errorf" || name == "errors.New" || name == "panic"
}

func (f *finder) module() string {
	return strings.TrimSuffix(strings.TrimSuffix(f.p.path, f.p.name), "/")
}

// called names what is called: "append", "net/http.Error", "log/slog.Info" for
// the method as for the function; "" when it has no name.
func (f *finder) called(call *ast.CallExpr) string {
	var id *ast.Ident
	switch fun := ast.Unparen(call.Fun).(type) {
	case *ast.Ident:
		id = fun
	case *ast.SelectorExpr:
		id = fun.Sel
	default:
		return ""
	}
	obj := f.p.info.Uses[id]
	if obj == nil {
		return id.Name
	}
	if obj.Pkg() == nil {
		return obj.Name()
	}
	return obj.Pkg().Path() + "." + obj.Name()
}

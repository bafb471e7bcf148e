package dynamotest

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// said is what DynamoDB says, in its own words.
type said string

func (s said) Error() string { return string(s) }

func refused(format string, args ...any) error { return said(fmt.Sprintf(format, args...)) }

// holds reports whether q's condition holds for the item that is there: of the
// language AND, OR, parentheses, = and <=, and attribute_not_exists.
func holds(q *request, there map[string]value) (ok bool, err error) {
	e := &expression{q: q, there: there, used: map[string]bool{}}
	for rest := q.ConditionExpression; ; {
		m := token.FindStringSubmatch(rest)
		if m == nil {
			if strings.TrimSpace(rest) != "" {
				return false, refused("Invalid ConditionExpression: Syntax error; token: %q", rest)
			}
			break
		}
		e.tokens = append(e.tokens, m[1])
		rest = rest[len(m[0]):]
	}
	defer func() {
		if p := recover(); p != nil {
			err = refused("Invalid ConditionExpression: %v", p)
		}
	}()
	ok = e.or()
	if len(e.tokens) > 0 {
		panic("Syntax error; token: " + e.tokens[0])
	}
	for name := range q.ExpressionAttributeNames {
		if !e.used[name] {
			return false, refused("Value provided in ExpressionAttributeNames unused in expressions: keys: {%s}", name)
		}
	}
	for name := range q.ExpressionAttributeValues {
		if !e.used[name] {
			return false, refused("Value provided in ExpressionAttributeValues unused in expressions: keys: {%s}", name)
		}
	}
	return ok, nil
}

var token = regexp.MustCompile(`^\s*([#:]?[A-Za-z0-9_]+|<=|=|[()])`)

type expression struct {
	q      *request
	there  map[string]value
	tokens []string
	used   map[string]bool
}

func (e *expression) next() string {
	if len(e.tokens) == 0 {
		panic("Syntax error; it ends too early")
	}
	t := e.tokens[0]
	e.tokens = e.tokens[1:]
	return t
}

func (e *expression) take(want string) bool {
	if len(e.tokens) > 0 && e.tokens[0] == want {
		e.next()
		return true
	}
	return false
}

func (e *expression) must(want string) {
	if got := e.next(); got != want {
		panic("Syntax error; token: " + got)
	}
}

func (e *expression) or() bool {
	ok := e.and()
	for e.take("OR") {
		ok = e.and() || ok // both sides are read
	}
	return ok
}

func (e *expression) and() bool {
	ok := e.term()
	for e.take("AND") {
		ok = e.term() && ok
	}
	return ok
}

func (e *expression) term() bool {
	if e.take("(") {
		ok := e.or()
		e.must(")")
		return ok
	}
	if e.take("attribute_not_exists") {
		e.must("(")
		v := e.operand(e.next())
		e.must(")")
		return v == nil
	}
	a, how := e.operand(e.next()), e.next()
	b := e.operand(e.next())
	if a == nil || b == nil {
		return false
	}
	return compare(a, how, b)
}

// operand is an attribute or a value; nil where there is none.
func (e *expression) operand(t string) value {
	switch t[0] {
	case '#':
		name, ok := e.q.ExpressionAttributeNames[t]
		if !ok {
			panic("An expression attribute name used in the document path is not defined; attribute name: " + t)
		}
		e.used[t] = true
		return e.there[name]
	case ':':
		v, ok := e.q.ExpressionAttributeValues[t]
		if !ok {
			panic("An expression attribute value used in expression is not defined; attribute value: " + t)
		}
		e.used[t] = true
		return v
	}
	panic("Syntax error; token: " + t)
}

func compare(a value, how string, b value) bool {
	for kind, x := range a {
		y, same := b[kind]
		if !same {
			return false
		}
		switch {
		case how == "=":
			return x == y
		case how == "<=" && kind == "N":
			m, err := strconv.ParseInt(x, 10, 64)
			n, err2 := strconv.ParseInt(y, 10, 64)
			return err == nil && err2 == nil && m <= n
		case how == "<=":
			return x <= y
		}
	}
	panic("Syntax error; token: " + how)
}

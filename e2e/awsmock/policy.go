package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// words is one or many, as policies have them.
type words []string

// UnmarshalJSON reads a text or a list of texts.
func (w *words) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*w = words{one}
		return nil
	}
	var many []string
	err := json.Unmarshal(text, &many)
	*w = many
	return err
}

type statement struct {
	Sid, Effect      string
	Action, Resource words
	Condition        map[string]map[string]words
}

// policy is a document of IAM with what the template's policies use, and no more.
type policy struct{ Statement []statement }

func parsePolicy(text []byte) (*policy, error) {
	p := &policy{}
	if err := json.Unmarshal(text, p); err != nil {
		return nil, err
	}
	for _, s := range p.Statement {
		if s.Effect != "Allow" || s.Sid == "" {
			return nil, fmt.Errorf("want statements that allow and have a Sid, got %+v", s)
		}
		for operator := range s.Condition {
			if operator != "StringLike" && operator != "StringEquals" {
				return nil, fmt.Errorf("want StringLike or StringEquals, got %q", operator)
			}
		}
	}
	return p, nil
}

// grant is one action that one statement of a role allows.
type grant struct{ role, sid, action string }

func (g grant) String() string { return g.role + " " + g.sid + " " + g.action }

func (p *policy) grants(role string) []grant {
	var all []grant
	for _, s := range p.Statement {
		for _, a := range s.Action {
			all = append(all, grant{role, s.Sid, a})
		}
	}
	return all
}

// without is p but for one grant.
func (p *policy) without(g grant) *policy {
	q := &policy{}
	for _, s := range p.Statement {
		if s.Sid == g.sid {
			s.Action = slices.DeleteFunc(slices.Clone(s.Action), func(a string) bool { return a == g.action })
		}
		q.Statement = append(q.Statement, s)
	}
	return q
}

// ask is what somebody wants to do.
type ask struct {
	action, resource string
	context          map[string]string // keys of conditions
}

// allows is the Sid of the statement that allows it, or "".
func (p *policy) allows(a *ask) string {
	for _, s := range p.Statement {
		if slices.Contains(s.Action, a.action) && slices.ContainsFunc(s.Resource, func(r string) bool { return like(r, a.resource) }) && s.holds(a) {
			return s.Sid
		}
	}
	return ""
}

// holds: every condition is about a key that is there and has one of the values.
func (s *statement) holds(a *ask) bool {
	for operator, keys := range s.Condition {
		for key, values := range keys {
			got, there := a.context[key]
			if !there || !slices.ContainsFunc(values, func(v string) bool { return v == got || operator == "StringLike" && like(v, got) }) {
				return false
			}
		}
	}
	return true
}

// like matches with '*' for any characters and '?' for one.
func like(pattern, text string) bool {
	if pattern == "" {
		return text == ""
	}
	rest := pattern[1:]
	switch {
	case pattern[0] == '*':
		for i := range len(text) + 1 {
			if like(rest, text[i:]) {
				return true
			}
		}
		return false
	case text == "":
		return false
	}
	return (pattern[0] == '?' || pattern[0] == text[0]) && like(rest, text[1:])
}

// queueARN is that of a queue's URL, in moto's account.
func queueARN(url string) string {
	return "arn:aws:sqs:eu-west-1:" + account + ":" + url[strings.LastIndexByte(url, '/')+1:]
}

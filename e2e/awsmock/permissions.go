package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// platforms are permissions that AWS's own parts use with a role: nothing that is
// played here can show that they are used. Each has AWS's page that asks for it.
var platforms = map[string]string{
	"WriteLog":     "Lambda and Step Functions, to write logs (AWS, \"Lambda execution role\", \"Logging in CloudWatch Logs\")",
	"WriteTraces":  "Lambda and Step Functions, to send traces (AWS, \"X-Ray and Lambda\", \"X-Ray and Step Functions\")",
	"WriteResults": "Step Functions, to write large results in parts (AWS, \"IAM policies for using Distributed Map states\")",
	"RunMap":       "Step Functions, to start the map's own executions (the same)",
	"MoveAlias":    "CodeDeploy, to move an alias (AWS, \"AWSCodeDeployRoleForLambdaLimited\")",
	"SeeMap":       "Step Functions, to follow them (the same)",
}

// minimal takes each permission away and wants something to fail.
func (w *world) minimal(ctx context.Context, uses map[grant][]*scenario) error {
	var errs []error
	var theirs []string
	tried := 0
	for _, role := range slices.Sorted(maps.Keys(w.policies)) {
		for _, g := range w.policies[role].grants(role) {
			if len(uses[g]) == 0 {
				if why := platforms[g.sid]; why != "" {
					theirs = append(theirs, fmt.Sprintf("  %-60s %s", g, why))
				} else {
					errs = append(errs, fmt.Errorf("%s is allowed, and nothing uses it", g))
				}
				continue
			}
			tried++
			begun := time.Now()
			policies := maps.Clone(w.policies)
			policies[role] = policies[role].without(g)
			var seen []string
			for _, s := range uses[g] {
				if _, err := w.play(ctx, s, policies); err != nil {
					if ctx.Err() != nil {
						return ctx.Err()
					}
					seen = append(seen, fmt.Sprintf("%s: %v", s.name, err))
					if !errors.Is(err, errOnlyRefused) {
						break // it fails by what comes of it
					}
				}
			}
			if len(seen) == 0 {
				errs = append(errs, fmt.Errorf("%s is taken away, and nothing fails", g))
				continue
			}
			fmt.Printf("without %s (%v)\n    %s\n", g, time.Since(begun).Round(10*time.Millisecond), strings.Join(clipped(seen), "\n    "))
		}
	}
	fmt.Printf("%d permissions, each taken away once\nused by AWS's own parts alone:\n%s\n", tried, strings.Join(theirs, "\n"))
	return errors.Join(errs...)
}

func clipped(all []string) []string {
	for i, s := range all {
		if s = strings.ReplaceAll(s, "\n", " "); len(s) > 300 {
			s = s[:300] + "…"
		}
		all[i] = s
	}
	return all[len(all)-1:]
}

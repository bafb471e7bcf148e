package spec

import "strings"

// nearest is the known word that was most likely meant by got, or "". The
// order of known decides between equally near ones.
func nearest(got string, known []string) string {
	// Platforms have several words for the number of copies that run.
	copies := strings.NewReplacer("_", "", "-", "", ".", "", " ", "", "instances", "#", "replicas", "#", "environments", "#", "scale", "#")
	plain := func(s string) string { return copies.Replace(strings.ToLower(s)) }
	g := plain(got)
	if g == "" || len(g) > 64 {
		return ""
	}
	best, bestCost := "", len(g)/3+1 // one slip in a short word, more in a long one
	for _, k := range known {
		p := plain(k)
		cost := distance(g, p)
		// memorySize for memory, max for maxRows, containerConcurrency for concurrency.
		if len(p) >= 3 && strings.HasPrefix(g, p) || len(g) >= 3 && strings.HasPrefix(p, g) || len(p) >= 5 && strings.HasSuffix(g, p) {
			cost = min(cost, 1)
		}
		if cost < bestCost || cost == bestCost && best == "" {
			best, bestCost = k, cost
		}
	}
	return best
}

// distance is how many letters must be put in, taken out, changed or swapped
// with their neighbour to make b of a.
func distance(a, b string) int {
	prev, cur := make([]int, len(b)+1), make([]int, len(b)+1)
	var before []int // the row before prev
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			change := prev[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			cur[j] = min(change, prev[j]+1, cur[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, make([]int, len(b)+1)
	}
	return prev[len(b)]
}

// Package tune finds the threads, the batching and the size under which a
// function serves best on this machine, and writes them into its godwit.yaml.
//
// Each candidate is the real server in a process of its own, held to a number of
// CPUs and an amount of memory (Limiter). Candidates take turns in blocks, so that
// what else the machine does meets all of them (Search); what is chosen is held
// against the default once more, on blocks that had no part in choosing it. Where
// the difference is not beyond the noise, nothing changes.
package tune

package render

// Command is one call of a platform's own tool, to be run in the rendered
// folder. Nothing in it has to be filled in.
type Command struct {
	Args []string // the program first
	Why  string   // what it does, in a few words
}

package batch

// SetPick has pick choose the part that a job begins with, in the place of chance.
func SetPick(h *Handler, pick func(n int) int) { h.pick = pick }

package queue

// SetBytes has a queue take so many bytes at once.
func SetBytes(q *Queue, n int) { q.bytes = n }

// Package measure is what programs that compare two sides share: turns, so
// that what the machine does meanwhile meets both, the spread of what they
// gave, and what a process and those that it started took of CPU and memory.
package measure

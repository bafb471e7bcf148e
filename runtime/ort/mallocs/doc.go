// Package mallocs counts the native memory allocations of the process. Linking
// it puts its own malloc and its relatives in front of the C library's, which
// they call; only tests link it. It counts on Linux with glibc.
package mallocs

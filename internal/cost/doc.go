// Package cost says what a function costs a month on each target, from times that
// were measured of its own model, the platforms' billing rules and package data's
// dated prices.
//
// A Config is one way to run the function, made from the spec. Steady says what a
// month of independent callers uses of it (Usage), and Config.Bill what that
// costs. Both are pure and exact where money is concerned: sums are of whole
// picodollars times whole milliseconds, and rounded once, to be shown. What
// depends on how requests meet (cold starts, the 99th percentile) comes from
// package simulate.
//
// What is not known, a price, a machine's processors, a time on a GPU, is said
// (Config.Unknown) and never guessed. docs/cost.md has every rule with its source.
//
// Nothing here is changed by being used; concurrent calls are safe.
package cost

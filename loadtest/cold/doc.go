// Package cold measures cold starts: a function's program is started again and
// again under its platform's emulator, asked a recorded request until it has
// answered that correctly, and killed. What the time went to comes from the
// program itself, which is started with GODWIT_START_REPORT, and from this side
// of the wire; docs/cold.md explains the figures.
package cold

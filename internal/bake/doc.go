// Package bake makes the form of a model that loads fastest: its graph
// optimised when it is packaged, its weights in a file that is mapped into
// memory. What it makes is compared with the model itself, on every recorded
// request, before anybody gets it. docs/adr/005-baking.md says why this form.
package bake

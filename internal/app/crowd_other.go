//go:build !linux

package app

type ownThreads struct{}

func (ownThreads) patient(bool) {}

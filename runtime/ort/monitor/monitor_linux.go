//go:build cgo

package monitor

import "C" // monitor_linux.c is all there is

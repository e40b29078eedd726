//go:build !linux

package localpg

// MemoryDir is empty: only on Linux is there one for everybody.
func MemoryDir() string { return "" }

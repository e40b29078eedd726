//go:build !linux

package storetest

// memoryDir is known for Linux only.
func memoryDir() string { return "" }

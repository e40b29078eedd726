//go:build race

package e2e

// raceDetector is whether the tests run with it, and so the program does.
const raceDetector = true

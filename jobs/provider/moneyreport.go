package provider

import "time"

// A ReportFile is a release report as a provider lists it.
type ReportFile struct {
	// Name is the file's, one of its own for each report.
	Name string
	// Begin and End are the period that it covers; zero where they can't be read.
	Begin, End time.Time
	// Ready is true once it can be downloaded, and Failed when it never will.
	Ready, Failed bool
	// Readable is false for a format that we don't read.
	Readable bool
	// Requested is true for one that was asked for, and not made by schedule.
	Requested bool
	// MadeAt is when it was made or asked for; zero where that can't be read.
	MadeAt time.Time
}

package migrations

// OurProvider lets a test stop at any of our steps.
var OurProvider = ourProvider

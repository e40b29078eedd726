package provider

// Payers are what a document names its payers by.
type Payers struct {
	// IDs are the provider's ids of them.
	IDs []string
	// Emails are their e-mail addresses, in lower case.
	Emails []string
	// Documents are the numbers of their identity documents.
	Documents []string
}

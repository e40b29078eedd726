package api

// EncodeCursor and DecodeCursor are what lists make and read.
var (
	EncodeCursor = encodeCursor
	DecodeCursor = decodeCursor
)

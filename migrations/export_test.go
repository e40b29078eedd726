package migrations

// OurProvider lets a test stop at any of our steps.
var OurProvider = ourProvider

// ObjectsIn lists the objects of a schema.
const ObjectsIn = objectsIn

// Package simulator is Mercado Pago for development, tests and benchmarks.
//
// It holds payments, answers the parts of the API that the service calls, and
// sends signed webhooks, with the faults that the real one shows: duplicates,
// disorder, losses, late answers, payments that cannot be read yet, rate
// limits and outages. What it draws by chance comes from a seed.
//
// It keeps its own ledger of what every order should be, see [Simulator.Truth].
// So that this ledger can testify, the package imports nothing of this module:
// neither its rules nor its signatures.
//
// The shapes follow Mercado Pago's public reference
// (https://www.mercadopago.com.ar/developers/en/reference) and the bodies in
// the tests of its official SDKs. Where these leave something open, the
// docstring says what was chosen.
package simulator

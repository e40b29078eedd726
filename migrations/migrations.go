// Package migrations is the history of the schema: River's steps first, then
// ours. Steps only go forward, and each is safe while the previous release
// still runs.
package migrations

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"log/slog"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

//go:embed *.sql
var files embed.FS

// table is where goose keeps which of our steps were applied.
const table = "conciliar_migrations"

// lockKey serialises two processes that migrate at once. The number is only
// ours: the first eight bytes of the SHA-256 of "conciliar/migrations".
const lockKey = int64(0x1dfc_621c_db11_679c)

// A Step is one migration.
type Step struct {
	// Line is "river" or "conciliar".
	Line string `json:"line"`
	// Version is the step's number within its line.
	Version int64 `json:"version"`
	// Name says what the step does.
	Name string `json:"name"`
	// AppliedAt is when it was applied; nil while it is pending. River keeps
	// no name for steps of a newer release than this one.
	AppliedAt *time.Time `json:"applied_at"`
}

// Up makes the schema that the pool's sessions look in, and applies every pending
// step, River's first. Two processes that call it at once do so one after the other.
func Up(ctx context.Context, pool *pgxpool.Pool, logger *slog.Logger) error {
	conn, schema, err := lock(ctx, pool)
	if err != nil {
		return err
	}
	// The lock goes with the session.
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	pending, err := Pending(ctx, pool)
	if err != nil || len(pending) == 0 {
		return err
	}
	if err := checkUp(ctx, conn, schema, pending, logger); err != nil {
		return err
	}
	if err := create(ctx, conn, schema); err != nil {
		return err
	}
	if err := undoesTables(ctx, conn, schema); err != nil {
		return err
	}
	provider, closeDB, err := ourProvider(pool)
	if err != nil {
		return err
	}
	defer closeDB()
	// Makes the table that remembers our steps. It comes before River's: where that
	// is, River's tables are ours.
	if _, err := provider.GetDBVersion(ctx); err != nil {
		return fmt.Errorf("migrate: conciliar: %w", err)
	}
	migrator, err := riverMigrator(pool, schema)
	if err != nil {
		return err
	}
	applied, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	if err != nil {
		return fmt.Errorf("migrate: river: %w", err)
	}
	for _, v := range applied.Versions {
		logger.InfoContext(ctx, "schema step applied", "line", "river", "version", v.Version, "name", v.Name)
	}
	results, err := provider.Up(ctx)
	for _, r := range results {
		if r.Error == nil {
			logger.InfoContext(ctx, "schema step applied", "line", "conciliar", "version", r.Source.Version, "name", r.Source.Path)
		}
	}
	if err != nil {
		return fmt.Errorf("migrate: conciliar: %w", err)
	}
	return nil
}

// connect connects as a pool does, outside of it.
func connect(ctx context.Context, pool *pgxpool.Config) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, pool.ConnConfig)
	if err != nil || pool.AfterConnect == nil {
		return conn, err
	}
	if err := pool.AfterConnect(ctx, conn); err != nil {
		_ = conn.Close(context.WithoutCancel(ctx))
		return nil, err
	}
	return conn, nil
}

// lock connects and takes the lock of migrations, which goes with the connection. The
// connection is its own: taken from the pool, it would leave none for the steps where
// the pool has only one. It returns the schema that is meant, too.
func lock(ctx context.Context, pool *pgxpool.Pool) (_ *pgx.Conn, schema string, err error) {
	conn, err := connect(ctx, pool.Config())
	if err != nil {
		return nil, "", fmt.Errorf("migrate: connect: %w", err)
	}
	defer func() {
		if err != nil {
			_ = conn.Close(context.WithoutCancel(ctx))
		}
	}()
	if schema, err = schemaOf(ctx, conn); err != nil {
		return nil, "", err
	}
	if _, err = conn.Exec(ctx, "SELECT pg_advisory_lock($1)", lockKey); err != nil {
		return nil, "", fmt.Errorf("migrate: wait for another migration: %w", err)
	}
	return conn, schema, nil
}

// Status lists every step that this release knows, in the order of
// application. Steps of a newer release are not listed and do no harm.
func Status(ctx context.Context, pool *pgxpool.Pool) ([]Step, error) {
	schema, err := schemaOf(ctx, pool)
	if err != nil {
		return nil, err
	}
	var steps []Step
	migrator, err := riverMigrator(pool, schema)
	if err != nil {
		return nil, err
	}
	applied, err := riverApplied(ctx, pool, schema)
	if err != nil {
		return nil, err
	}
	for _, v := range migrator.AllVersions() {
		steps = append(steps, Step{Line: "river", Version: int64(v.Version), Name: v.Name, AppliedAt: applied[int64(v.Version)]})
	}
	ours, err := ourApplied(ctx, pool, schema)
	if err != nil {
		return nil, err
	}
	known, err := sources()
	if err != nil {
		return nil, err
	}
	for _, s := range known {
		s.AppliedAt = ours[s.Version]
		steps = append(steps, s)
	}
	return steps, nil
}

// Pending returns the steps that this release needs and the database lacks.
// It is empty when the schema is ahead: a rolled-back release must start.
func Pending(ctx context.Context, pool *pgxpool.Pool) ([]Step, error) {
	steps, err := Status(ctx, pool)
	if err != nil {
		return nil, err
	}
	var pending []Step
	for _, s := range steps {
		if s.AppliedAt == nil {
			pending = append(pending, s)
		}
	}
	return pending, nil
}

// Fingerprint identifies the schema that Up makes: a database migrated by one
// binary serves every binary with the same fingerprint.
func Fingerprint() string {
	h := sha256.New()
	for _, v := range riverVersions() {
		h.Write([]byte("river/" + strconv.Itoa(v) + "\n"))
	}
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		panic("migrations: embedded files: " + err.Error())
	}
	for _, e := range entries {
		body, err := files.ReadFile(e.Name())
		if err != nil {
			panic("migrations: embedded files: " + err.Error())
		}
		h.Write([]byte(e.Name() + "\n"))
		h.Write(body)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// riverMigrator says nothing of its own: Up tells of its steps beside ours.
func riverMigrator(pool *pgxpool.Pool, schema string) (*rivermigrate.Migrator[pgx.Tx], error) {
	m, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler), Schema: schema})
	if err != nil {
		return nil, fmt.Errorf("migrate: river: %w", err)
	}
	return m, nil
}

func riverVersions() []int {
	m, err := rivermigrate.New(riverpgxv5.New(nil), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic("migrations: river: " + err.Error())
	}
	var versions []int
	for _, v := range m.AllVersions() {
		versions = append(versions, v.Version)
	}
	return versions
}

func ourProvider(pool *pgxpool.Pool) (*goose.Provider, func(), error) {
	db := stdlib.OpenDBFromPool(pool)
	p, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithTableName(table), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		_ = db.Close()
		return nil, nil, fmt.Errorf("migrate: conciliar: %w", err)
	}
	return p, func() { _ = db.Close() }, nil
}

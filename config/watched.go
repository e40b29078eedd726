package config

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"os"
	"sync"
	"time"
)

// WatchEvery is how often watched files are read. A change counts once it was read
// twice alike, so it is in use after two readings at the latest.
const WatchEvery = 2 * time.Second

// A ReadFile reads a whole file, as os.ReadFile does.
type ReadFile func(path string) ([]byte, error)

// A Watched is a value that is made of files and kept current while they change.
// What can't be used changes nothing: the previous value stays, and Problem says
// what is wrong with the files. It is safe for concurrent use.
type Watched[T any] struct {
	name string
	load func(ReadFile) (T, error)

	mu      sync.Mutex
	value   T
	digest  [sha256.Size]byte
	problem error
	// seen is what the last reading found that is not in use yet.
	seen    [sha256.Size]byte
	changed []func(T)
}

// Watch makes the value for the first time. load reads every file through the
// function that it is given, those that a file names included, and needs no other
// source that may change; it is called again for every reading. Its error must be
// fit to be shown. name says in the log what is watched.
func Watch[T any](name string, load func(ReadFile) (T, error)) (*Watched[T], error) {
	w := &Watched[T]{name: name, load: load}
	var err error
	if w.value, w.digest, err = w.read(); err != nil {
		return nil, err
	}
	return w, nil
}

// Name is what is watched, for the log.
func (w *Watched[T]) Name() string { return w.name }

// Value is the value in use.
func (w *Watched[T]) Value() T {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.value
}

// Problem is why the files as they are now are not in use; nil while they are.
func (w *Watched[T]) Problem() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.problem
}

// Digest is the hexadecimal SHA-256 of the files in use. Two processes that use the
// same contents have the same; it is not to be shown where the files are secrets.
func (w *Watched[T]) Digest() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return hex.EncodeToString(w.digest[:])
}

// OnChange calls do with every value that replaces another, one after the other.
// do must not call w.
func (w *Watched[T]) OnChange(do func(T)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changed = append(w.changed, do)
}

// Reload reads the files now and takes over what they hold. It says whether that
// is something else than before, and returns what is wrong with them.
func (w *Watched[T]) Reload() (changed bool, err error) { return w.look(true) }

// look is Reload; unless at once, a change counts when it is seen a second time: a
// file may be half written.
func (w *Watched[T]) look(atOnce bool) (changed bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	value, digest, err := w.read()
	settled := atOnce || digest == w.seen
	w.seen = digest
	if digest == w.digest && err == nil {
		w.problem = nil
		return false, nil
	}
	if !settled {
		return false, w.problem
	}
	if w.problem = err; err != nil {
		return false, err
	}
	w.value, w.digest = value, digest
	for _, do := range w.changed {
		do(value)
	}
	return true, nil
}

// read makes a value, and the digest of all that was read for it.
func (w *Watched[T]) read() (value T, digest [sha256.Size]byte, err error) {
	sum := sha256.New()
	value, err = w.load(func(path string) ([]byte, error) {
		content, err := os.ReadFile(path) //nolint:gosec // the operator names the file
		enter(sum, []byte(path))
		if err != nil {
			enter(sum, []byte(err.Error()))
		}
		enter(sum, content)
		return content, err
	})
	sum.Sum(digest[:0])
	return value, digest, err
}

// enter adds a part to a digest, so that no two lists of parts look alike.
func enter(sum hash.Hash, part []byte) {
	var length [8]byte
	binary.BigEndian.PutUint64(length[:], uint64(len(part)))
	sum.Write(length[:])
	sum.Write(part)
}

// A Reloader is a Watched of whatever type.
type Reloader interface {
	Name() string
	look(atOnce bool) (changed bool, err error)
}

// KeepCurrent reads the files of all that is watched every WatchEvery, and at once
// when now delivers something, until ctx is done. It tells report of every change,
// and of every problem once.
func KeepCurrent(ctx context.Context, now <-chan os.Signal, report func(name string, err error), all ...Reloader) {
	tick := time.Tick(WatchEvery)
	told := map[string]string{}
	for {
		atOnce := false
		select {
		case <-ctx.Done():
			return
		case <-now:
			atOnce = true
		case <-tick:
		}
		for _, w := range all {
			changed, err := w.look(atOnce)
			switch {
			case err != nil && (atOnce || told[w.Name()] != err.Error()):
				told[w.Name()] = err.Error()
				report(w.Name(), err)
			case err == nil && changed:
				report(w.Name(), nil)
			}
			if err == nil {
				delete(told, w.Name())
			}
		}
	}
}

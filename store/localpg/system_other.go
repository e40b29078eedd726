//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package localpg

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
)

// supported fails: this system lacks the means that bind the server's life to
// ours. The service itself runs here, with a PostgreSQL of your own.
func supported() error {
	return fmt.Errorf("a private PostgreSQL: %w on %s: set DATABASE_URL to a server of your own", errors.ErrUnsupported, runtime.GOOS)
}

func asUser(*identity) *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

func detached(*identity) *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

func tryLock(*os.File) (bool, error) { return false, supported() }

func signalGroup(int, syscall.Signal) {}

func alive(int) bool { return true }

//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package localpg

import (
	"errors"
	"os"
	"syscall"
)

// supported reports whether this system has what the rest of this file uses.
func supported() error { return nil }

// asUser runs a command as the server's user.
func asUser(as *identity) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{}
	if as != nil {
		attr.Credential = &syscall.Credential{Uid: as.uid, Gid: as.gid}
	}
	return attr
}

// detached also gives it a session of its own, out of the terminal's reach.
func detached(as *identity) *syscall.SysProcAttr {
	attr := asUser(as)
	attr.Setsid = true
	return attr
}

// tryLock locks a file until every copy of its descriptor is closed; false
// means that somebody else holds it.
func tryLock(f *os.File) (bool, error) {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

// signalGroup signals every process of a group; one that is gone is not an error.
func signalGroup(group int, s syscall.Signal) { _ = syscall.Kill(-group, s) }

// alive reports whether a process has this number, whatever its owner.
func alive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

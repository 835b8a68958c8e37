package line

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// Send writes one packet at once or not at all. A deadline would not do: whoever
// is held up between setting it and the write has sent nothing.
func Send(conn *net.UnixConn, packet []byte) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return fmt.Errorf("send: %w", err)
	}
	var sent error
	err = raw.Write(func(fd uintptr) bool {
		for {
			sent = unix.Send(int(fd), packet, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
			if sent != unix.EINTR {
				return true
			}
		}
	})
	if err == nil {
		err = sent
	}
	if err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

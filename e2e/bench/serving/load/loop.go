package main

import (
	"errors"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

const (
	epollPwait2   = 441 // the same number on every architecture; timeouts of nanoseconds since Linux 5.11
	timerSlack    = 29  // PR_SET_TIMERSLACK
	events        = syscall.EPOLLIN | syscall.EPOLLOUT | syscall.EPOLLRDHUP | edgeTriggered
	edgeTriggered = 1 << 31
	gone          = syscall.EPOLLRDHUP | syscall.EPOLLHUP | syscall.EPOLLERR
	scanPause     = 50 * time.Millisecond // between two looks for timeouts
	reopenPause   = 10 * time.Millisecond // after a refused connection
	readSize      = 1 << 16
)

type state int

const (
	closed state = iota
	connecting
	idle
	busy
	leaving // its last request is answered and the server closes it: whoever closes first keeps the port for a minute
)

// connection has at most one request in flight.
type connection struct {
	number     int
	descriptor int
	state      state
	counts     *counts // where its request is counted: one sent in the warm-up is not measured
	out        []byte  // the request
	written    int
	in         []byte // what has come of the answer
	due, sent  time.Time
	reopen     time.Time
}

// loop is the whole generator: one thread, one epoll, no scheduler between an answer and its time stamp.
type loop struct {
	options  options
	address  netip.AddrPort
	requests *requests
	schedule *schedule
	counts   *counts
	epoll    int
	every    []*connection
	free     []*connection // idle ones; the last one used is the next one used
	backlog  []time.Time   // due and unsent, oldest first
	inFlight int
	issued   uint64 // requests that were ever due, also in the warm-up
	buffer   []byte
	measured bool // the warm-up is over
	begin    time.Time
	progress func(interval)
	stopped  atomic.Bool // asked by a signal to end before its time
}

// run ends after the schedule, after options.number requests, or once stopped is set; then it waits for the answers that are due.
func (l *loop) run(start time.Time) (time.Duration, time.Duration, error) {
	var err error
	if l.epoll, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return 0, 0, err
	}
	defer syscall.Close(l.epoll)
	// Without this a wait may be 50 µs longer than asked for. Failing costs only precision.
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, timerSlack, 1, 0)
	l.buffer = make([]byte, readSize)
	for number := range l.options.connections {
		opened := &connection{number: number, descriptor: -1}
		l.every = append(l.every, opened)
		l.open(opened, start)
	}
	measureFrom, end := start.Add(l.options.warmup), start.Add(l.options.warmup+l.options.duration)
	l.begin = start
	nextScan, nextInterval := start, measureFrom.Add(l.options.interval)
	var cpuBefore time.Duration
	if l.options.warmup == 0 {
		l.measured = true
		cpuBefore = cpuTime()
	}
	ready := make([]syscall.EpollEvent, 256)
	for {
		now := time.Now()
		if !l.measured && !now.Before(measureFrom) {
			l.measured, l.begin, l.counts, cpuBefore = true, now, newCounts(), cpuTime()
		}
		for l.measured && !now.Before(nextInterval) {
			l.progress(l.counts.closeInterval(nextInterval.Sub(measureFrom)))
			nextInterval = nextInterval.Add(l.options.interval)
		}
		if !now.Before(nextScan) {
			l.scan(now)
			nextScan = now.Add(scanPause)
		}
		sending := now.Before(end) && !l.stopped.Load() && (l.more() || len(l.backlog) > 0)
		if sending {
			l.send(now)
		} else {
			l.abandon()
			if l.inFlight == 0 {
				l.progress(l.counts.closeInterval(now.Sub(measureFrom)))
				return now.Sub(l.begin), cpuTime() - cpuBefore, nil
			}
		}
		wake := nextScan
		if sending && l.schedule.open() && l.schedule.due.Before(wake) && len(l.backlog) == 0 {
			wake = l.schedule.due
		}
		pause := time.Until(wake)
		if l.options.poll {
			pause = 0
		}
		count, err := wait(l.epoll, ready, pause)
		if err != nil {
			return 0, 0, err
		}
		for _, event := range ready[:count] {
			l.handle(l.every[event.Fd], event.Events)
		}
	}
}

// send starts what is due on the connections that are free.
func (l *loop) send(now time.Time) {
	if !l.schedule.open() {
		for len(l.free) > 0 && l.more() {
			l.issued++
			l.start(l.pop(), now)
		}
		return
	}
	for late := l.options.maxLate; late > 0 && len(l.backlog) > 0 && now.Sub(l.backlog[0]) > late; {
		l.backlog = l.backlog[1:]
		l.counts.dropped()
	}
	for len(l.backlog) > 0 && len(l.free) > 0 {
		l.start(l.pop(), l.backlog[0])
		l.backlog = l.backlog[1:]
	}
	for !l.schedule.due.After(now) && l.more() {
		l.issued++
		if len(l.free) > 0 {
			l.start(l.pop(), now) // a late wake-up is this program's fault, not the server's
		} else {
			l.backlog = append(l.backlog, l.schedule.due)
		}
		l.schedule.advance()
	}
}

// more tells whether -number allows another request.
func (l *loop) more() bool { return l.options.number == 0 || l.issued < l.options.number }

// abandon gives up what was due and could not be sent before the end.
func (l *loop) abandon() {
	for range l.backlog {
		l.counts.dropped()
	}
	l.backlog = nil
}

func (l *loop) pop() *connection {
	last := len(l.free) - 1
	popped := l.free[last]
	l.free = l.free[:last]
	return popped
}

func (l *loop) start(c *connection, due time.Time) {
	c.state, c.due, c.sent = busy, due, time.Now()
	c.out, c.written, c.in = l.requests.next(c.out[:0]), 0, c.in[:0]
	l.inFlight++
	c.counts = l.counts
	c.counts.sent++
	l.write(c)
}

func (l *loop) write(c *connection) {
	for c.written < len(c.out) {
		count, err := syscall.Write(c.descriptor, c.out[c.written:])
		if errors.Is(err, syscall.EAGAIN) {
			return
		}
		if err != nil {
			return // why is told by the reading side, which may also have an answer
		}
		c.written += count
		c.counts.bytesOut += uint64(count)
	}
}

func (l *loop) handle(c *connection, happened uint32) {
	switch c.state {
	case closed:
	case connecting:
		if code, err := syscall.GetsockoptInt(c.descriptor, syscall.SOL_SOCKET, syscall.SO_ERROR); err != nil || code != 0 {
			l.counts.failed("connect: " + syscall.Errno(code).Error())
			l.close(c)
			return
		}
		if happened&syscall.EPOLLOUT != 0 {
			c.state = idle
			l.counts.connections++
			l.free = append(l.free, c)
		}
	case idle:
		if happened&gone != 0 {
			l.unlist(c) // closed between two requests: nobody lost anything
			l.renew(c)
		}
	case busy:
		if happened&syscall.EPOLLOUT != 0 && c.written < len(c.out) {
			l.write(c)
		}
		if happened&^syscall.EPOLLOUT != 0 {
			l.read(c)
			if (c.state == idle || c.state == leaving) && happened&gone != 0 {
				l.handle(c, happened) // answered and closed: nothing tells of it again
			}
		}
	case leaving:
		if happened&gone != 0 {
			l.renew(c)
		}
	}
}

func (l *loop) read(c *connection) {
	for {
		count, err := syscall.Read(c.descriptor, l.buffer)
		switch {
		case errors.Is(err, syscall.EAGAIN):
			return
		case err != nil:
			l.lost(c, err.Error())
			return
		case count == 0:
			l.lost(c, "closed before the answer was complete")
			return
		}
		c.counts.bytesIn += uint64(count)
		c.in = append(c.in, l.buffer[:count]...)
		if l.answer(c) || count < len(l.buffer) {
			return
		}
	}
}

// answer counts the answer if it is complete. Whether it is, or the connection is beyond use.
func (l *loop) answer(c *connection) bool {
	found, err := parseResponse(c.in)
	if err != nil {
		l.lost(c, err.Error())
		return true
	}
	if found.length == 0 {
		return false
	}
	now := time.Now()
	l.inFlight--
	c.counts.answered(found.status, now.Sub(c.due), now.Sub(c.sent))
	if found.closes || l.options.fresh {
		c.state = leaving
		return true
	}
	c.state = idle
	l.free = append(l.free, c)
	return true
}

// lost counts a request that will never have an answer.
func (l *loop) lost(c *connection, reason string) {
	l.inFlight--
	c.counts.failed(reason)
	l.renew(c)
}

func (l *loop) renew(c *connection) {
	l.close(c)
	l.open(c, time.Now())
}

func (l *loop) unlist(c *connection) {
	for index, each := range l.free {
		if each == c {
			l.free = append(l.free[:index], l.free[index+1:]...)
			return
		}
	}
}

func (l *loop) close(c *connection) {
	_ = syscall.Close(c.descriptor) // epoll forgets it by this
	c.state, c.descriptor, c.reopen = closed, -1, time.Now().Add(reopenPause)
}

// open begins to connect; the connection is free when that has worked.
func (l *loop) open(c *connection, now time.Time) {
	if err := l.connect(c); err != nil {
		l.counts.failed("connect: " + err.Error())
		if c.descriptor >= 0 {
			_ = syscall.Close(c.descriptor)
		}
		c.state, c.descriptor, c.reopen = closed, -1, now.Add(reopenPause)
	}
}

func (l *loop) connect(c *connection) error {
	family := syscall.AF_INET6
	var remote syscall.Sockaddr = &syscall.SockaddrInet6{Port: int(l.address.Port()), Addr: l.address.Addr().As16()}
	if l.address.Addr().Is4() {
		family = syscall.AF_INET
		remote = &syscall.SockaddrInet4{Port: int(l.address.Port()), Addr: l.address.Addr().As4()}
	}
	var err error
	c.descriptor, err = syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		c.descriptor = -1
		return err
	}
	_ = syscall.SetsockoptInt(c.descriptor, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	if err = syscall.Connect(c.descriptor, remote); err != nil && !errors.Is(err, syscall.EINPROGRESS) {
		return err
	}
	c.state = connecting
	event := syscall.EpollEvent{Events: events, Fd: int32(c.number)}
	return syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_ADD, c.descriptor, &event)
}

func (l *loop) scan(now time.Time) {
	for _, each := range l.every {
		switch {
		case each.state == closed && now.After(each.reopen):
			l.open(each, now)
		case each.state == busy && now.Sub(each.sent) > l.options.timeout:
			l.lost(each, "timeout")
		case each.state == leaving && now.Sub(each.sent) > l.options.timeout:
			l.renew(each)
		}
	}
}

func wait(epoll int, ready []syscall.EpollEvent, pause time.Duration) (int, error) {
	limit := syscall.NsecToTimespec(int64(max(pause, 0)))
	count, _, code := syscall.RawSyscall6(epollPwait2, uintptr(epoll), uintptr(unsafe.Pointer(&ready[0])),
		uintptr(len(ready)), uintptr(unsafe.Pointer(&limit)), 0, 0)
	if code == syscall.EINTR {
		return 0, nil
	}
	if code != 0 {
		return 0, code
	}
	return int(count), nil
}

func cpuTime() time.Duration {
	var used syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

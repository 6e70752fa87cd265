package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// requests are the bytes to send, in turn: each body and each line of extra headers has its own turn.
type requests struct {
	head   []byte   // the request line and the headers that all have
	extras [][]byte // "name: value\r\n"
	bodies [][]byte // each with its length before it
	turn   uint64
}

type wanted struct {
	method, path, host                string
	headers, bodies                   []string
	bodyLines, headerLines, mediaType string
}

func newRequests(want wanted) (*requests, error) {
	made := &requests{head: fmt.Appendf(nil, "%s %s HTTP/1.1\r\nhost: %s\r\n", want.method, want.path, want.host)}
	for _, header := range want.headers {
		made.head = fmt.Appendf(made.head, "%s\r\n", header)
	}
	for _, file := range want.bodies {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		made.add(content, want.mediaType)
	}
	lines, err := linesOf(want.bodyLines)
	if err != nil {
		return nil, err
	}
	for _, line := range lines {
		made.add(line, want.mediaType)
	}
	if len(made.bodies) == 0 {
		made.bodies = [][]byte{[]byte("\r\n")}
	}
	extras, err := linesOf(want.headerLines)
	if err != nil {
		return nil, err
	}
	for _, line := range extras {
		made.extras = append(made.extras, append(line, "\r\n"...))
	}
	return made, nil
}

func (r *requests) add(body []byte, mediaType string) {
	text := fmt.Appendf(nil, "content-type: %s\r\ncontent-length: %s\r\n\r\n", mediaType, strconv.Itoa(len(body)))
	r.bodies = append(r.bodies, append(text, body...))
}

// next appends the next request to buffer.
func (r *requests) next(buffer []byte) []byte {
	turn := r.turn
	r.turn++
	buffer = append(buffer, r.head...)
	if len(r.extras) > 0 {
		buffer = append(buffer, r.extras[turn%uint64(len(r.extras))]...)
	}
	return append(buffer, r.bodies[turn%uint64(len(r.bodies))]...)
}

func linesOf(file string) ([][]byte, error) {
	if file == "" {
		return nil, nil
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var lines [][]byte
	for _, line := range bytes.Split(content, []byte("\n")) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			lines = append(lines, bytes.Clone(line))
		}
	}
	return lines, nil
}

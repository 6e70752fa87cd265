package main

import (
	"bytes"
	"errors"
	"strconv"
)

var (
	endOfHead   = []byte("\r\n\r\n")
	errNotHTTP  = errors.New("the answer is not HTTP/1.1")
	errBadChunk = errors.New("the answer's chunks are malformed")
)

// response is what of an answer matters here. length is that of the head and the body, 0 while more bytes are needed.
type response struct {
	status int
	length int
	closes bool
}

// parseResponse reads the answer at the start of buffer.
func parseResponse(buffer []byte) (response, error) {
	end := bytes.Index(buffer, endOfHead)
	if end < 0 {
		return response{}, nil
	}
	head := buffer[:end]
	if len(head) < 12 || !bytes.HasPrefix(head, []byte("HTTP/1.")) {
		return response{}, errNotHTTP
	}
	status, err := strconv.Atoi(string(head[9:12]))
	if err != nil {
		return response{}, errNotHTTP
	}
	found := response{status: status}
	length, chunked := -1, false
	for rest := head; ; {
		next := bytes.IndexByte(rest, '\n')
		if next < 0 {
			break
		}
		rest = rest[next+1:]
		name, value := field(rest)
		switch {
		case bytes.EqualFold(name, []byte("content-length")):
			if length, err = strconv.Atoi(string(value)); err != nil || length < 0 {
				return response{}, errNotHTTP
			}
		case bytes.EqualFold(name, []byte("transfer-encoding")):
			chunked = bytes.EqualFold(value, []byte("chunked"))
		case bytes.EqualFold(name, []byte("connection")):
			found.closes = bytes.EqualFold(value, []byte("close"))
		}
	}
	body := end + len(endOfHead)
	switch {
	case status == 204 || status == 304 || status < 200:
		found.length = body
	case chunked:
		size, err := chunks(buffer[body:])
		if err != nil || size == 0 {
			return response{}, err
		}
		found.length = body + size
	case length < 0:
		return response{}, errNotHTTP // an answer that ends with its connection is not measured here
	case body+length <= len(buffer):
		found.length = body + length
	}
	return found, nil
}

// field is the name and the value of the header line at the start of text.
func field(text []byte) (name, value []byte) {
	if end := bytes.IndexByte(text, '\r'); end >= 0 {
		text = text[:end]
	}
	colon := bytes.IndexByte(text, ':')
	if colon < 0 {
		return nil, nil
	}
	return text[:colon], bytes.TrimSpace(text[colon+1:])
}

// chunks is the length of a complete chunked body, 0 while more bytes are needed.
func chunks(text []byte) (int, error) {
	for at := 0; ; {
		end := bytes.Index(text[at:], []byte("\r\n"))
		if end < 0 {
			return 0, nil
		}
		digits, _, _ := bytes.Cut(text[at:at+end], []byte(";"))
		size, err := strconv.ParseUint(string(digits), 16, 31)
		if err != nil {
			return 0, errBadChunk
		}
		at += end + 2 + int(size) + 2
		if at > len(text) {
			return 0, nil
		}
		if size == 0 {
			return at, nil
		}
	}
}

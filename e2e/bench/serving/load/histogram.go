package main

import (
	"math"
	"math/bits"
	"time"
)

// 128 buckets an octave: a value is known to better than 0.8 %.
const (
	mantissaBits = 7
	perOctave    = 1 << mantissaBits
)

// histogram counts durations in buckets whose width grows with the value.
type histogram struct {
	counts [64 * perOctave]uint32
	count  uint64
	total  time.Duration
	max    time.Duration
}

func bucketOf(value time.Duration) int {
	nanoseconds := uint64(max(value, 0))
	if nanoseconds < perOctave {
		return int(nanoseconds)
	}
	shift := bits.Len64(nanoseconds) - 1 - mantissaBits
	return (shift+1)<<mantissaBits + int(nanoseconds>>shift) - perOctave
}

// middle is the value that stands for a bucket.
func middle(bucket int) time.Duration {
	if bucket < perOctave {
		return time.Duration(bucket)
	}
	shift := bucket>>mantissaBits - 1
	low := uint64(perOctave+bucket&(perOctave-1)) << shift
	return time.Duration(low + uint64(1)<<shift/2)
}

func (h *histogram) add(value time.Duration) {
	h.counts[bucketOf(value)]++
	h.count++
	h.total += value
	h.max = max(h.max, value)
}

func (h *histogram) merge(other *histogram) {
	for bucket, count := range other.counts {
		h.counts[bucket] += count
	}
	h.count += other.count
	h.total += other.total
	h.max = max(h.max, other.max)
}

// quantile is the smallest value that the given share of all values does not exceed.
func (h *histogram) quantile(share float64) time.Duration {
	rank := max(uint64(math.Ceil(share*float64(h.count))), 1)
	seen := uint64(0)
	for bucket, count := range h.counts {
		seen += uint64(count)
		if seen >= rank && count > 0 {
			return min(middle(bucket), h.max)
		}
	}
	return 0
}

type latency struct {
	Count       uint64  `json:"count"`
	MeanSeconds float64 `json:"meanSeconds"`
	P50Seconds  float64 `json:"p50Seconds"`
	P90Seconds  float64 `json:"p90Seconds"`
	P99Seconds  float64 `json:"p99Seconds"`
	P999Seconds float64 `json:"p999Seconds"`
	MaxSeconds  float64 `json:"maxSeconds"`
}

func (h *histogram) summary() latency {
	if h.count == 0 {
		return latency{}
	}
	return latency{
		Count:       h.count,
		MeanSeconds: h.total.Seconds() / float64(h.count),
		P50Seconds:  h.quantile(0.5).Seconds(),
		P90Seconds:  h.quantile(0.9).Seconds(),
		P99Seconds:  h.quantile(0.99).Seconds(),
		P999Seconds: h.quantile(0.999).Seconds(),
		MaxSeconds:  h.max.Seconds(),
	}
}

package main

import (
	"strconv"
	"time"
)

// interval is what a second (or what was asked for) of the run brought; it counts from the end of the warm-up.
type interval struct {
	EndSeconds float64           `json:"endSeconds"`
	Status     map[string]uint64 `json:"status"`
	Errors     uint64            `json:"errors"`
	Unsent     uint64            `json:"unsent"`
	P50Seconds float64           `json:"p50Seconds"`
	P99Seconds float64           `json:"p99Seconds"`
	MaxSeconds float64           `json:"maxSeconds"`
}

// counts is everything measured since the warm-up ended.
type counts struct {
	sent, unsent, connections uint64
	bytesOut, bytesIn         uint64
	errors                    map[string]uint64
	latency, service          map[int]*histogram // by status
	series                    []interval
	now                       interval
	nowLatency                *histogram
}

func newCounts() *counts {
	return &counts{
		errors:     map[string]uint64{},
		latency:    map[int]*histogram{},
		service:    map[int]*histogram{},
		now:        interval{Status: map[string]uint64{}},
		nowLatency: &histogram{},
	}
}

// answered takes the time since the request was due and since it was sent.
func (c *counts) answered(status int, latency, service time.Duration) {
	if c.latency[status] == nil {
		c.latency[status], c.service[status] = &histogram{}, &histogram{}
	}
	c.latency[status].add(latency)
	c.service[status].add(service)
	c.now.Status[strconv.Itoa(status)]++
	c.nowLatency.add(latency)
}

func (c *counts) failed(reason string) {
	c.errors[reason]++
	c.now.Errors++
}

func (c *counts) dropped() {
	c.unsent++
	c.now.Unsent++
}

// closeInterval stores the running interval, and returns it.
func (c *counts) closeInterval(end time.Duration) interval {
	done := c.now
	done.EndSeconds = end.Seconds()
	done.P50Seconds = c.nowLatency.quantile(0.5).Seconds()
	done.P99Seconds = c.nowLatency.quantile(0.99).Seconds()
	done.MaxSeconds = c.nowLatency.max.Seconds()
	c.series = append(c.series, done)
	c.now = interval{Status: map[string]uint64{}}
	*c.nowLatency = histogram{}
	return done
}

// result is the document that the program prints.
type result struct {
	Seconds           float64            `json:"seconds"`
	Sent              uint64             `json:"sent"`
	Unsent            uint64             `json:"unsent"`
	Answered          uint64             `json:"answered"`
	RequestsPerSecond float64            `json:"requestsPerSecond"`
	Status            map[string]uint64  `json:"status"`
	Errors            map[string]uint64  `json:"errors"`
	Connections       uint64             `json:"connectionsOpened"`
	BytesOut          uint64             `json:"bytesOut"`
	BytesIn           uint64             `json:"bytesIn"`
	Latency           latency            `json:"latency"`
	Service           latency            `json:"service"`
	LatencyByStatus   map[string]latency `json:"latencyByStatus"`
	ServiceByStatus   map[string]latency `json:"serviceByStatus"`
	GeneratorCPU      float64            `json:"generatorCpuShare"`
	Series            []interval         `json:"series,omitempty"`
}

func (c *counts) result(took, cpu time.Duration, withSeries bool) result {
	made := result{
		Seconds: took.Seconds(), Sent: c.sent, Unsent: c.unsent,
		Status: map[string]uint64{}, Errors: c.errors, Connections: c.connections,
		BytesOut: c.bytesOut, BytesIn: c.bytesIn,
		LatencyByStatus: map[string]latency{}, ServiceByStatus: map[string]latency{},
		GeneratorCPU: cpu.Seconds() / took.Seconds(),
	}
	all, allService := &histogram{}, &histogram{}
	for status, found := range c.latency {
		name := strconv.Itoa(status)
		made.Status[name] = found.count
		made.LatencyByStatus[name] = found.summary()
		made.ServiceByStatus[name] = c.service[status].summary()
		all.merge(found)
		allService.merge(c.service[status])
	}
	made.Answered = all.count
	made.RequestsPerSecond = float64(all.count) / took.Seconds()
	made.Latency, made.Service = all.summary(), allService.summary()
	if withSeries {
		made.Series = c.series
	}
	return made
}

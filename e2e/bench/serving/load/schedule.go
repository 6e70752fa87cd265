package main

import (
	"fmt"
	"math/rand"
	"strconv"
	"strings"
	"time"
)

// stage is a part of the run with one rate of requests. A rate of 0 means a closed loop.
type stage struct {
	length time.Duration
	rate   float64
}

// schedule says when the next request of an open loop is due.
type schedule struct {
	stages []stage
	random *rand.Rand // nil: evenly spaced
	index  int
	ends   time.Time // of the stage
	due    time.Time
}

// newSchedule begins at start.
func newSchedule(stages []stage, start time.Time, random *rand.Rand) *schedule {
	made := &schedule{stages: stages, random: random, ends: start.Add(stages[0].length), due: start}
	made.settle()
	return made
}

func (s *schedule) open() bool { return s.stages[0].rate > 0 }

// advance moves to the following request.
func (s *schedule) advance() {
	gap := 1.0
	if s.random != nil {
		gap = s.random.ExpFloat64()
	}
	s.due = s.due.Add(time.Duration(gap / s.stages[s.index].rate * float64(time.Second)))
	s.settle()
}

// settle lets a request that would fall behind its stage be the first one of the next.
func (s *schedule) settle() {
	for s.index+1 < len(s.stages) && !s.due.Before(s.ends) {
		s.index++
		s.due = s.ends
		s.ends = s.ends.Add(s.stages[s.index].length)
	}
}

// parseStages reads "10s@500,1m@2000".
func parseStages(text string) ([]stage, error) {
	var stages []stage
	for _, part := range strings.Split(text, ",") {
		length, rate, ok := strings.Cut(strings.TrimSpace(part), "@")
		duration, err := time.ParseDuration(length)
		perSecond, rateErr := strconv.ParseFloat(rate, 64)
		if !ok || err != nil || rateErr != nil || duration <= 0 || perSecond <= 0 {
			return nil, fmt.Errorf("%q is no stage: write a duration and a rate, for example 10s@500", part)
		}
		stages = append(stages, stage{duration, perSecond})
	}
	return stages, nil
}

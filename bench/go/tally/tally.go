// Package tally holds a load's closed loops to its two times, the warm-up and the measurement, and says how
// long what fell into the second one took.
package tally

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Load is how long, and how many loops at one time.
type Load struct {
	Loops    int
	WarmUp   time.Duration
	Measured time.Duration
}

// Figures are of what ended well inside of the measured time.
type Figures struct {
	Count   int
	Seconds float64
	P50Ms   float64
	P99Ms   float64
	MaxMs   float64
	// Errors of the measured time, by what the work calls them.
	Errors map[string]int
	// InAll is what ended well from the start of the warm-up to the end.
	InAll int
}

// loop is what one of them has measured; nobody else touches it while it runs.
type loop struct {
	latencies []time.Duration
	errors    map[string]int
	inAll     int
}

const (
	warming int32 = iota
	measuring
	stopped
)

// Run does the work in every loop again and again. The work says "" when it ended well, or the name of an
// error. Between reports the moments at which the measured time begins and ends.
func Run(load Load, work func() string, begins, ends func()) Figures {
	var phase atomic.Int32
	loops := make([]loop, load.Loops)
	var all sync.WaitGroup
	for i := range loops {
		own := &loops[i]
		own.errors = map[string]int{}
		all.Go(func() { own.run(&phase, work) })
	}
	time.Sleep(load.WarmUp)
	begins()
	phase.Store(measuring)
	started := time.Now()
	time.Sleep(load.Measured)
	phase.Store(stopped)
	seconds := time.Since(started).Seconds()
	ends()
	all.Wait()
	return figuresOf(loops, seconds)
}

func (l *loop) run(phase *atomic.Int32, work func() string) {
	for phase.Load() != stopped {
		started := time.Now()
		name := work()
		took := time.Since(started)
		isMeasured := phase.Load() == measuring
		switch {
		case name == "":
			l.inAll++
			if isMeasured {
				l.latencies = append(l.latencies, took)
			}
		case isMeasured:
			l.errors[name]++
		}
	}
}

func figuresOf(loops []loop, seconds float64) Figures {
	figures := Figures{Seconds: seconds, Errors: map[string]int{}}
	var latencies []time.Duration
	for _, l := range loops {
		figures.InAll += l.inAll
		latencies = append(latencies, l.latencies...)
		for name, count := range l.errors {
			figures.Errors[name] += count
		}
	}
	slices.Sort(latencies)
	figures.Count = len(latencies)
	if figures.Count == 0 {
		return figures
	}
	figures.P50Ms = quantileMs(latencies, 0.5)
	figures.P99Ms = quantileMs(latencies, 0.99)
	figures.MaxMs = quantileMs(latencies, 1)
	return figures
}

// By nearest rank.
func quantileMs(sorted []time.Duration, q float64) float64 {
	rank := max(int(math.Ceil(q*float64(len(sorted)))), 1)
	return float64(sorted[rank-1]) / float64(time.Millisecond)
}

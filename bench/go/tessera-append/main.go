// Appends to a new log of Tessera's POSIX driver, from many callers that each wait until their entry is durable:
// until the future of Add resolves, which the library promises only once the entry has a durable index and is
// integrated. It takes the loads that its parent sends, one after the other, each with a log of its own.
//
//	tessera-append
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
	"k8s.io/klog/v2"

	"causeway.invalid/bench/lines"
	"causeway.invalid/bench/tally"
)

const (
	origin = "causeway.invalid/bench"
	module = "github.com/transparency-dev/tessera"
)

// Names as in bench/tessera.ts.
type load struct {
	// Folder is where the log is made; it is removed afterwards.
	Folder          string  `json:"folder"`
	Callers         int     `json:"callers"`
	EntryBytes      int     `json:"entryBytes"`
	BatchEntriesMax uint    `json:"batchEntriesMax"`
	BatchAgeMsMax   float64 `json:"batchAgeMsMax"`
	WarmMs          float64 `json:"warmMs"`
	MeasuredMs      float64 `json:"measuredMs"`
}

type figures struct {
	EntriesPerSecond float64 `json:"entriesPerSecond"`
	P50Ms            float64 `json:"p50Ms"`
	P99Ms            float64 `json:"p99Ms"`
	// CPUUsPerEntry is of all threads, the callers' own included.
	CPUUsPerEntry float64 `json:"cpuUsPerEntry"`
	// Version is the library's.
	Version string `json:"version"`
}

func main() {
	// What fails reaches the callers; the library also tells of every log that is new.
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	signer, err := newSigner()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	lines.Serve(0, func(l load) (figures, error) { return run(l, signer) })
}

func newSigner() (note.Signer, error) {
	secret, _, err := note.GenerateKey(nil, origin)
	if err != nil {
		return nil, err
	}
	return note.NewSigner(secret)
}

func run(l load, signer note.Signer) (figures, error) {
	defer os.RemoveAll(l.Folder)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	driver, err := posix.New(ctx, posix.Config{Path: l.Folder})
	if err != nil {
		return figures{}, err
	}
	options := tessera.NewAppendOptions().
		WithCheckpointSigner(signer).
		WithBatching(l.BatchEntriesMax, milliseconds(l.BatchAgeMsMax)).
		// Nobody is turned away.
		WithPushback(uint(max(l.Callers, tessera.DefaultPushbackMaxOutstanding)))
	appender, _, reader, err := tessera.NewAppender(ctx, driver, options)
	if err != nil {
		return figures{}, err
	}
	entry := make([]byte, l.EntryBytes)
	add := func() string {
		if _, err := appender.Add(ctx, tessera.NewEntry(entry))(); err != nil {
			return err.Error()
		}
		return ""
	}
	var used time.Duration
	measured := tally.Run(tally.Load{
		Loops:    l.Callers,
		WarmUp:   milliseconds(l.WarmMs),
		Measured: milliseconds(l.MeasuredMs),
	}, add, func() { used = -cpuTime() }, func() { used += cpuTime() })
	for name := range measured.Errors {
		return figures{}, fmt.Errorf("an entry was not added: %s", name)
	}
	// The figures are worth nothing if an entry that was acknowledged is not in the tree.
	if size, err := reader.IntegratedSize(ctx); err != nil || size < uint64(measured.InAll) {
		return figures{}, fmt.Errorf("%d entries were acknowledged, the tree has %d: %w", measured.InAll, size, err)
	}
	count := float64(measured.Count)
	return figures{
		EntriesPerSecond: count / measured.Seconds,
		P50Ms:            measured.P50Ms,
		P99Ms:            measured.P99Ms,
		CPUUsPerEntry:    float64(used) / float64(time.Microsecond) / count,
		Version:          version(),
	}, nil
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dependency := range info.Deps {
			if dependency.Path == module {
				return dependency.Version
			}
		}
	}
	return "of an unknown version"
}

func milliseconds(count float64) time.Duration {
	return time.Duration(count * float64(time.Millisecond))
}

// Of the process so far, user and system.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

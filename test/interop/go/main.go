// Reads a ledger with the transparency log packages of the Go project: the checkpoint's signatures under a
// tlog-policy, every tile against the root, every entry against its leaf hash, and proofs made from tiles.
package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: interop <policy file> <address>")
	}
	policy, err := readPolicy(args[0])
	if err != nil {
		return err
	}
	log := client{prefix: "http://" + args[1] + "/"}
	tree, cosigned, err := openCheckpoint(log, policy)
	if err != nil {
		return err
	}
	if err := checkEntries(log, tree); err != nil {
		return err
	}
	if err := checkProofs(log, tree); err != nil {
		return err
	}
	fmt.Printf("size %d root %s cosigned %d\n", tree.N, tree.Hash, cosigned)
	return nil
}

// What a policy says, as far as ours use it: one log, witnesses, and one group of them as the quorum.
type policy struct {
	log       note.Verifier
	witnesses []note.Verifier
	threshold int
}

func readPolicy(file string) (*policy, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	p := &policy{}
	for _, line := range strings.Split(string(text), "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		switch fields[0] {
		case "log":
			p.log, err = note.NewVerifier(fields[1])
		case "witness":
			var witness note.Verifier
			witness, err = newCosignatureVerifier(fields[2])
			p.witnesses = append(p.witnesses, witness)
		case "group":
			p.threshold, err = strconv.Atoi(fields[2])
		}
		if err != nil {
			return nil, err
		}
	}
	if p.log == nil || p.threshold == 0 {
		return nil, errors.New("the policy names no log or no quorum")
	}
	return p, nil
}

// A timestamped Ed25519 cosignature, which the packages do not know (C2SP tlog-cosignature).
type cosignatureVerifier struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func newCosignatureVerifier(vkey string) (note.Verifier, error) {
	name, rest, _ := strings.Cut(vkey, "+")
	id, encoded, _ := strings.Cut(rest, "+")
	hash, err := strconv.ParseUint(id, 16, 32)
	if err != nil {
		return nil, err
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, err
	}
	if len(key) != 33 || key[0] != 4 {
		return nil, errors.New("not the key of a cosigner")
	}
	return &cosignatureVerifier{name: name, hash: uint32(hash), key: key[1:]}, nil
}

func (v *cosignatureVerifier) Name() string    { return v.name }
func (v *cosignatureVerifier) KeyHash() uint32 { return v.hash }

func (v *cosignatureVerifier) Verify(msg, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	time := binary.BigEndian.Uint64(sig)
	signed := fmt.Sprintf("cosignature/v1\ntime %d\n%s", time, msg)
	return time > 0 && ed25519.Verify(v.key, []byte(signed), sig[8:])
}

func openCheckpoint(log client, p *policy) (tlog.Tree, int, error) {
	bytes, err := log.get("checkpoint")
	if err != nil {
		return tlog.Tree{}, 0, err
	}
	opened, err := note.Open(bytes, note.VerifierList(append(p.witnesses, p.log)...))
	if err != nil {
		return tlog.Tree{}, 0, err
	}
	signed, cosigned := false, 0
	for _, sig := range opened.Sigs {
		if sig.Name == p.log.Name() {
			signed = true
		} else {
			cosigned++
		}
	}
	if !signed || cosigned < p.threshold {
		return tlog.Tree{}, 0, fmt.Errorf("%d of %d witnesses have cosigned", cosigned, p.threshold)
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != p.log.Name() || lines[3] != "" {
		return tlog.Tree{}, 0, errors.New("not a checkpoint of this log")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, 0, err
	}
	root, err := tlog.ParseHash(lines[2])
	return tlog.Tree{N: size, Hash: root}, cosigned, err
}

func checkEntries(log client, tree tlog.Tree) error {
	reader := tlog.TileHashReader(tree, log)
	indexes := make([]int64, tree.N)
	for i := range indexes {
		indexes[i] = tlog.StoredHashIndex(0, int64(i))
	}
	hashes, err := reader.ReadHashes(indexes)
	if err != nil {
		return err
	}
	for first := int64(0); first < tree.N; first += 256 {
		width := min(tree.N-first, 256)
		bundle, err := log.get(pathOf("entries", first/256, int(width)))
		if err != nil {
			return err
		}
		for i := first; i < first+width; i++ {
			if len(bundle) < 2 || len(bundle) < 2+int(binary.BigEndian.Uint16(bundle)) {
				return fmt.Errorf("entry %d ends after its bundle", i)
			}
			end := 2 + int(binary.BigEndian.Uint16(bundle))
			if tlog.RecordHash(bundle[2:end]) != hashes[i] {
				return fmt.Errorf("entry %d is not the leaf of the tree", i)
			}
			bundle = bundle[end:]
		}
		if len(bundle) != 0 {
			return errors.New("a bundle holds more than its entries")
		}
	}
	return nil
}

func checkProofs(log client, tree tlog.Tree) error {
	reader := tlog.TileHashReader(tree, log)
	for _, index := range []int64{0, tree.N / 2, tree.N - 1} {
		leaf, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
		if err != nil {
			return err
		}
		proof, err := tlog.ProveRecord(tree.N, index, reader)
		if err != nil {
			return err
		}
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, leaf[0]); err != nil {
			return err
		}
		older, err := tlog.TreeHash(index+1, reader)
		if err != nil {
			return err
		}
		consistency, err := tlog.ProveTree(tree.N, index+1, reader)
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(consistency, tree.N, tree.Hash, index+1, older); err != nil {
			return err
		}
	}
	return nil
}

// A log's read-only HTTP listener (C2SP tlog-tiles).
type client struct{ prefix string }

func (c client) get(path string) ([]byte, error) {
	response, err := http.Get(c.prefix + path)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, response.Status)
	}
	return io.ReadAll(response.Body)
}

func (c client) Height() int { return 8 }

func (c client) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, tile := range tiles {
		bytes, err := c.get(pathOf(strconv.Itoa(tile.L), tile.N, tile.W))
		if err != nil {
			return nil, err
		}
		data[i] = bytes
	}
	return data, nil
}

func (c client) SaveTiles([]tlog.Tile, [][]byte) {}

func pathOf(level string, n int64, width int) string {
	name := fmt.Sprintf("%03d", n%1000)
	for n >= 1000 {
		n /= 1000
		name = fmt.Sprintf("x%03d/%s", n%1000, name)
	}
	path := fmt.Sprintf("tile/%s/%s", level, name)
	if width < 256 {
		path += fmt.Sprintf(".p/%d", width)
	}
	return path
}

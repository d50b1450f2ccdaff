// Checks a published consent log with Go's own implementation of signed notes and transparency logs, golang.org/x/mod/sumdb: nothing
// here is of the product, and nothing that the service says is believed.
//
// Usage: checklog [-receipt FILE] [-old CHECKPOINT] [-entries KEY] PREFIX VKEY
//
// PREFIX is the address that /checkpoint is below, VKEY the public key of the log.
package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Hashes in a full tile: 2^8.
const height = 8

func main() {
	receipt := flag.String("receipt", "", "a receipt (.tlog-proof) to check")
	old := flag.String("old", "", "an earlier checkpoint, which the log must extend")
	entries := flag.String("entries", "", "an officer's key: read all entries, too, and compute the whole tree")
	flag.Parse()
	if flag.NArg() != 2 {
		flag.Usage()
		os.Exit(2)
	}
	log := &log{prefix: strings.TrimSuffix(flag.Arg(0), "/")}
	verifier, err := note.NewVerifier(flag.Arg(1))
	must(err)
	log.keys = note.VerifierList(verifier)

	tree := log.open(log.get("/checkpoint", ""))
	fmt.Printf("checkpoint: %d records, signed by %s\n", tree.N, verifier.Name())
	hashes := tlog.TileHashReader(tree, &tiles{log})

	// Every record is in the tree, by a proof that is computed from tiles; the reader checks each tile against the root.
	for n := int64(0); n < tree.N; n++ {
		leaf, err := hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, n)})
		must(err)
		proof, err := tlog.ProveRecord(tree.N, n, hashes)
		must(err)
		must(tlog.CheckRecord(proof, tree.N, tree.Hash, n, leaf[0]))
	}
	fmt.Printf("inclusion: %d proofs hold\n", tree.N)

	// Every earlier tree is a part of it: by proofs from the tiles, and by those that the service makes.
	step := tree.N/64 + 1
	count := 0
	for n := int64(1); n <= tree.N; n += step {
		root, err := tlog.TreeHash(n, hashes)
		must(err)
		made, err := tlog.ProveTree(tree.N, n, hashes)
		must(err)
		must(tlog.CheckTree(made, tree.N, tree.Hash, n, root))
		served := log.consistency(n, tree.N)
		must(tlog.CheckTree(served, tree.N, tree.Hash, n, root))
		if fmt.Sprint(served) != fmt.Sprint([]tlog.Hash(made)) {
			fail("the service proves %d to %d in another way", n, tree.N)
		}
		count++
	}
	fmt.Printf("consistency: %d proofs hold\n", count)

	if *old != "" {
		text, err := os.ReadFile(*old)
		must(err)
		before := log.open(text)
		must(tlog.CheckTree(log.consistency(before.N, tree.N), tree.N, tree.Hash, before.N, before.Hash))
		fmt.Printf("extends: the earlier checkpoint of %d records\n", before.N)
	}
	if *receipt != "" {
		text, err := os.ReadFile(*receipt)
		must(err)
		index, size := log.receipt(text)
		fmt.Printf("receipt: record %d is in the tree of %d\n", index, size)
	}
	if *entries != "" {
		log.entries(tree, *entries)
		fmt.Printf("entries: %d leaves give the root\n", tree.N)
	}
}

type log struct {
	prefix string
	keys   note.Verifiers
}

// open checks a signed checkpoint and reads it (C2SP tlog-checkpoint: origin, size, root).
func (l *log) open(text []byte) tlog.Tree {
	opened, err := note.Open(text, l.keys)
	must(err)
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[0] != opened.Sigs[0].Name {
		fail("not a checkpoint of this log: %q", opened.Text)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	must(err)
	root, err := tlog.ParseHash(lines[2])
	must(err)
	return tlog.Tree{N: size, Hash: root}
}

func (l *log) get(path, key string) []byte {
	request, err := http.NewRequest("GET", l.prefix+path, nil)
	must(err)
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	answer, err := http.DefaultClient.Do(request)
	must(err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	must(err)
	if answer.StatusCode != http.StatusOK {
		fail("%s: %s: %s", path, answer.Status, body)
	}
	return body
}

func (l *log) consistency(from, to int64) []tlog.Hash {
	var answer struct{ Proof []tlog.Hash }
	must(json.Unmarshal(l.get(fmt.Sprintf("/consistency?from=%d&to=%d", from, to), ""), &answer))
	if answer.Proof == nil {
		answer.Proof = []tlog.Hash{}
	}
	return answer.Proof
}

// receipt checks a C2SP tlog-proof whose "extra" holds the leaf.
func (l *log) receipt(text []byte) (int64, int64) {
	head, checkpoint, found := bytes.Cut(text, []byte("\n\n"))
	if !found {
		fail("the receipt has no checkpoint")
	}
	tree := l.open(checkpoint)
	lines := bufio.NewScanner(bytes.NewReader(head))
	lines.Buffer(nil, 1<<20)
	next := func() string {
		if !lines.Scan() {
			fail("the receipt is cut off")
		}
		return lines.Text()
	}
	if first := next(); first != "c2sp.org/tlog-proof@v1" {
		fail("not a receipt: %q", first)
	}
	extra, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(next(), "extra "))
	must(err)
	var held struct{ Leaf json.RawMessage }
	must(json.Unmarshal(extra, &held))
	index, err := strconv.ParseInt(strings.TrimPrefix(next(), "index "), 10, 64)
	must(err)
	var proof tlog.RecordProof
	for lines.Scan() {
		hash, err := tlog.ParseHash(lines.Text())
		must(err)
		proof = append(proof, hash)
	}
	must(tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(held.Leaf)))
	return index, tree.N
}

// entries computes the tree from the leaves, which only an officer may read.
func (l *log) entries(tree tlog.Tree, key string) {
	var stored memory
	for n := int64(0); n < tree.N; {
		width := tree.N - n
		if width > 1<<height {
			width = 1 << height
		}
		path := tlog.Tile{H: height, L: -1, N: n >> height, W: int(width)}.Path()
		bundle := l.get("/"+strings.Replace(path, fmt.Sprintf("tile/%d/data/", height), "tile/entries/", 1), key)
		for i := int64(0); i < width; i++ {
			if len(bundle) < 2 || len(bundle) < 2+int(binary.BigEndian.Uint16(bundle)) {
				fail("an entry bundle is cut off")
			}
			length := int(binary.BigEndian.Uint16(bundle))
			hashes, err := tlog.StoredHashes(n, bundle[2:2+length], stored)
			must(err)
			stored = append(stored, hashes...)
			bundle = bundle[2+length:]
			n++
		}
		if len(bundle) != 0 {
			fail("an entry bundle has more than its entries")
		}
	}
	root, err := tlog.TreeHash(tree.N, stored)
	must(err)
	if root != tree.Hash {
		fail("the leaves give another root")
	}
}

type memory []tlog.Hash

func (m memory) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var hashes []tlog.Hash
	for _, index := range indexes {
		hashes = append(hashes, m[index])
	}
	return hashes, nil
}

// tiles reads hash tiles over HTTP, with the paths of C2SP tlog-tiles: as Go's, without the height.
type tiles struct{ log *log }

func (t *tiles) Height() int { return height }

func (t *tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (t *tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var read [][]byte
	for _, tile := range wanted {
		path := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/", height), "tile/", 1)
		read = append(read, t.log.get("/"+path, ""))
	}
	return read, nil
}

func must(err error) {
	if err != nil {
		fail("%v", err)
	}
}

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "FAILED: "+format+"\n", args...)
	os.Exit(1)
}

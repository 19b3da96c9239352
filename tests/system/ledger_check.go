// Checks a camera's ledger with golang.org/x/mod/sumdb, which knows nothing of cameras: roots from leaves (tlog.TreeHash),
// consistency and inclusion proofs (tlog.CheckTree, tlog.CheckRecord), and the signed checkpoint (note.Open) with two
// verifiers after the C2SP texts: ECDSA P-256 (type 0x02) and cosignature/v1 (type 0x04).
//
// Reads one JSON task from standard input; prints what it checked; exits 1 with a sentence at the first thing that is wrong.
package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type proof struct {
	Old, New, Index, Size int64
	Proof                 [][]byte
}

type task struct {
	Leaves      [][]byte
	Roots       map[string][]byte
	Consistency []proof
	Inclusion   []proof
	Note        []byte
	Name        string
	Spki        []byte
	Witness     string
	WitnessKey  []byte `json:"witness_key"`
}

type verifier struct {
	name   string
	hash   uint32
	verify func(msg, sig []byte) bool
}

func (v verifier) Name() string                { return v.name }
func (v verifier) KeyHash() uint32             { return v.hash }
func (v verifier) Verify(msg, sig []byte) bool { return v.verify(msg, sig) }

func camera(name string, spki []byte) (note.Verifier, error) {
	parsed, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PublicKey)
	if !ok {
		return nil, errors.New("not an ECDSA key")
	}
	id := sha256.Sum256(spki)
	return verifier{name, binary.BigEndian.Uint32(id[:4]), func(msg, sig []byte) bool {
		digest := sha256.Sum256(msg)
		return ecdsa.VerifyASN1(key, digest[:], sig)
	}}, nil
}

func witness(name string, key []byte) note.Verifier {
	id := sha256.Sum256(append([]byte(name+"\n\x04"), key...))
	return verifier{name, binary.BigEndian.Uint32(id[:4]), func(msg, sig []byte) bool {
		if len(sig) != 8+ed25519.SignatureSize {
			return false
		}
		head := fmt.Sprintf("cosignature/v1\ntime %d\n", binary.BigEndian.Uint64(sig[:8]))
		return ed25519.Verify(key, append([]byte(head), msg...), sig[8:])
	}}
}

func hashOf(data []byte) (hash tlog.Hash) {
	copy(hash[:], data)
	return hash
}

func hashesOf(list [][]byte) []tlog.Hash {
	var hashes []tlog.Hash
	for _, one := range list {
		hashes = append(hashes, hashOf(one))
	}
	return hashes
}

func check(in task) (map[string]int, error) {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var found []tlog.Hash
		for _, index := range indexes {
			found = append(found, stored[index])
		}
		return found, nil
	})
	for n, leaf := range in.Leaves {
		more, err := tlog.StoredHashes(int64(n), leaf, reader)
		if err != nil {
			return nil, err
		}
		stored = append(stored, more...)
	}
	roots := map[int64]tlog.Hash{}
	for text, root := range in.Roots {
		size, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, err
		}
		computed, err := tlog.TreeHash(size, reader)
		if err != nil {
			return nil, err
		}
		if computed != hashOf(root) {
			return nil, fmt.Errorf("root of size %d differs", size)
		}
		roots[size] = computed
	}
	for _, one := range in.Consistency {
		if err := tlog.CheckTree(hashesOf(one.Proof), one.New, roots[one.New], one.Old, roots[one.Old]); err != nil {
			return nil, fmt.Errorf("from %d to %d: %v", one.Old, one.New, err)
		}
	}
	for _, one := range in.Inclusion {
		leaf := tlog.RecordHash(in.Leaves[one.Index])
		if err := tlog.CheckRecord(hashesOf(one.Proof), one.Size, roots[one.Size], one.Index, leaf); err != nil {
			return nil, fmt.Errorf("leaf %d of %d: %v", one.Index, one.Size, err)
		}
	}
	device, err := camera(in.Name, in.Spki)
	if err != nil {
		return nil, err
	}
	opened, err := note.Open(in.Note, note.VerifierList(device, witness(in.Witness, in.WitnessKey)))
	if err != nil {
		return nil, err
	}
	if len(opened.UnverifiedSigs) != 0 {
		return nil, errors.New("a signature by an unknown key")
	}
	size := int64(len(in.Leaves))
	if opened.Text != fmt.Sprintf("%s\n%d\n%s\n", in.Name, size, roots[size]) {
		return nil, fmt.Errorf("unexpected checkpoint %q", opened.Text)
	}
	done := map[string]int{"roots": len(roots), "consistency": len(in.Consistency), "inclusion": len(in.Inclusion), "signatures": len(opened.Sigs)}
	return done, nil
}

func main() {
	var in task
	err := json.NewDecoder(os.Stdin).Decode(&in)
	if err == nil {
		var done map[string]int
		if done, err = check(in); err == nil {
			err = json.NewEncoder(os.Stdout).Encode(done)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

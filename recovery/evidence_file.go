package recovery

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// ParseEvidence reads a file of evidence, recorded or written by hand: one JSON
// object, in which a key that is not known is an error. Sides that cannot be
// judged together are one too.
func ParseEvidence(data []byte) (Evidence, error) {
	var e Evidence
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		return Evidence{}, fmt.Errorf("read evidence: %w", err)
	}
	if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
		return Evidence{}, errors.New("read evidence: something follows the object")
	}
	if err := e.Check(); err != nil {
		return Evidence{}, fmt.Errorf("read evidence: %w", err)
	}
	return e, nil
}

// Scores rows of text: score ARTIFACT < rows > predictions
//
//	CGO_CFLAGS=-I$FMC CGO_LDFLAGS="-L$FMC -Wl,-rpath,$FMC" go build -o score score.go
package main

/*
#cgo LDFLAGS: -lfmcompress
#include "fmcompress.h"
#include <stdlib.h>
*/
import "C"

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"
)

const batch = 1024

// Model is an artifact that is open. Goroutines may share it, as long as none closes it.
type Model struct {
	handle      *C.fmc_model
	IDs, Values int
}

// Open opens the artifact at path.
func Open(path string) (*Model, error) {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	var message [C.FMC_MESSAGE_BYTES]C.char
	var handle *C.fmc_model
	if C.fmc_open(name, 0, &handle, &message[0]) != C.FMC_OK {
		return nil, errors.New(C.GoString(&message[0]))
	}
	return &Model{handle, int(C.fmc_id_count(handle)), int(C.fmc_value_count(handle))}, nil
}

// Close frees the model.
func (model *Model) Close() {
	C.fmc_close(model.handle)
	model.handle = nil
}

// Predict returns the predictions of rows: IDs numbers of each in ids, Values of each in values.
func (model *Model) Predict(ids []int64, values []float64) ([]float32, error) {
	rows := len(ids) / model.IDs
	if len(ids) != rows*model.IDs || len(values) != rows*model.Values {
		return nil, errors.New("ids and values are not of whole rows")
	}
	if rows == 0 {
		return nil, nil
	}
	var message [C.FMC_MESSAGE_BYTES]C.char
	var firstValue *C.double
	if len(values) > 0 {
		firstValue = (*C.double)(&values[0])
	}
	predictions := make([]float32, rows)
	status := C.fmc_predict_i64(model.handle, (*C.int64_t)(&ids[0]), firstValue, C.size_t(rows), 1,
		(*C.float)(&predictions[0]), &message[0])
	if status != C.FMC_OK {
		return nil, errors.New(C.GoString(&message[0]))
	}
	return predictions, nil
}

func (model *Model) readRow(line string, ids []int64, values []float64) ([]int64, []float64, bool) {
	words := strings.Fields(strings.ReplaceAll(line, ",", " "))
	if len(words) != model.IDs+model.Values {
		return ids, values, false
	}
	for _, word := range words[:model.IDs] {
		id, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return ids, values, false
		}
		ids = append(ids, id)
	}
	for _, word := range words[model.IDs:] {
		value, err := strconv.ParseFloat(word, 64)
		if err != nil {
			return ids, values, false
		}
		values = append(values, value)
	}
	return ids, values, true
}

func score(path string) error {
	model, err := Open(path)
	if err != nil {
		return err
	}
	defer model.Close()
	output := bufio.NewWriter(os.Stdout)
	defer output.Flush()
	lines := bufio.NewScanner(os.Stdin)
	var ids []int64
	var values []float64
	for number, more := 1, true; more; number++ {
		if more = lines.Scan(); more {
			var fine bool
			if ids, values, fine = model.readRow(lines.Text(), ids, values); !fine {
				return fmt.Errorf("line %d: expected %d ids and %d values", number, model.IDs, model.Values)
			}
		}
		if more && len(ids) < batch*model.IDs {
			continue
		}
		predictions, err := model.Predict(ids, values)
		if err != nil {
			return err
		}
		for _, prediction := range predictions {
			fmt.Fprintf(output, "%.6f\n", prediction)
		}
		ids, values = ids[:0], values[:0]
	}
	return lines.Err()
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: score ARTIFACT < rows > predictions")
		os.Exit(2)
	}
	if err := score(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(2)
	}
}

//go:build tools

package engine

import _ "github.com/ethereum/go-ethereum/cmd/geth"

package api

import (
	_ "embed"
	"net/http"

	"github.com/gin-gonic/gin"
)

// openAPI describes every JSON endpoint. Tests hold every answer against it.
//
//go:embed openapi.yaml
var openAPI []byte

// showOpenAPI answers the description. Its media type is RFC 9512's.
func (a *api) showOpenAPI(c *gin.Context, _ *requestEvent) error {
	writeBody(c, http.StatusOK, "application/yaml", openAPI)
	return nil
}

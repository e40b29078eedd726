package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alexedwards/argon2id"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/config"
)

// goodHash has the form of a hash, and the password of nobody.
const goodHash = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$RdescudvJCsgt3ub+b4dWRWJTmaaJObG1z3PtKc7+AE"

func TestParseOperators_ReadsOneALine(t *testing.T) {
	t.Parallel()
	operators, err := config.ParseOperators([]byte("# who may log in\r\n\nana:admin:" + goodHash + "\r\n  josé.b@shop:viewer:" + goodHash + "  \n"))
	require.NoError(t, err)
	require.Len(t, operators, 2)
	require.Equal(t, "ana", operators[0].Name)
	require.Equal(t, "admin", operators[0].Role)
	require.Equal(t, goodHash, operators[0].Hash.Reveal())
	require.Equal(t, "josé.b@shop", operators[1].Name)
	require.Equal(t, "viewer", operators[1].Role)
}

func TestParseOperators_NamesTheLineAndNothingOfIt(t *testing.T) {
	t.Parallel()
	for content, says := range map[string]string{
		"":                          "names no operator",
		"# nobody\n":                "names no operator",
		"\xff":                      "is not UTF-8",
		"ana:admin":                 "line 1 is not name:role:hash",
		"ana:admin:hunter":          "line 1 has no argon2id hash",
		"\nana:root:" + goodHash:    "line 2 has a role that is not viewer, operator or admin",
		"cli ana:admin:" + goodHash: "line 1 has a name that is not",
		"unknown:admin:" + goodHash: "line 1 has a name that is not",
		"ana:admin:" + goodHash + "\nana:viewer:" + goodHash:                            "line 2 names an operator for the second time",
		"ana:admin:" + strings.Replace(goodHash, "argon2id", "argon2i", 1):              "line 1 has no argon2id hash",
		"ana:admin:" + strings.Replace(goodHash, "m=19456,t=2", "m=4096,t=2", 1):        "line 1 has a hash that costs too little or too much",
		"ana:admin:" + strings.Replace(goodHash, "m=19456,t=2", "m=4194304,t=2", 1):     "line 1 has a hash that costs too little or too much",
		"ana:admin:" + strings.Replace(goodHash, "t=2,p=1", "t=0,p=0", 1):               "line 1 has a hash that costs too little or too much",
		"ana:admin:" + strings.Replace(goodHash, "$c29tZXNhbHRzb21lc2FsdA$", "$YQ$", 1): "line 1 has a hash that costs too little or too much",
	} {
		_, err := config.ParseOperators([]byte(content))
		require.ErrorContains(t, err, says)
		require.NotContains(t, err.Error(), "hunter")
		require.NotContains(t, err.Error(), "ana")
	}
}

func TestHashOperator_MakesALineThatIsRead(t *testing.T) {
	t.Parallel()
	line, err := config.HashOperator("ana", "operator", "a passphrase of one's own")
	require.NoError(t, err)
	operators, err := config.ParseOperators([]byte(line))
	require.NoError(t, err)
	right, err := argon2id.ComparePasswordAndHash("a passphrase of one's own", operators[0].Hash.Reveal())
	require.NoError(t, err)
	require.True(t, right)

	for _, c := range []struct{ name, role, password, says string }{
		{"", "admin", "a passphrase of one's own", "the name must be"},
		{"a:b", "admin", "a passphrase of one's own", "the name must be"},
		{"ana", "owner", "a passphrase of one's own", "the role must be"},
		{"ana", "admin", "short", "the password has fewer than 16 characters"},
		{"ana", "admin", "correct horse battery staple", "the password is an example"},
	} {
		_, err := config.HashOperator(c.name, c.role, c.password)
		require.ErrorContains(t, err, c.says)
	}
}

func TestConfig_TakesOperatorsOrAPassword(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "operators")
	require.NoError(t, os.WriteFile(path, []byte("ana:admin:"+goodHash+"\n"), 0o600))
	cfg, err := config.Load(environ(map[string]string{"OPERATOR_PASSWORD": "", "OPERATORS_FILE": path}))
	require.NoError(t, err)
	require.Len(t, cfg.Operators.All, 1)
	require.Equal(t, "ana", cfg.Operators.All[0].Name)

	_, err = config.Load(environ(map[string]string{"OPERATORS_FILE": path}))
	require.Equal(t, config.Problems{{Variable: "OPERATOR_PASSWORD", Text: "is set beside OPERATORS_FILE; unset one of the two"}}, problemsOf(t, err))
	_, err = config.Load(environ(map[string]string{"OPERATOR_PASSWORD": ""}))
	require.Equal(t, config.Problems{{Variable: "OPERATOR_PASSWORD", Text: "is required, or OPERATORS_FILE"}}, problemsOf(t, err))

	require.NoError(t, os.WriteFile(path, []byte("ana:admin:hunter2\n"), 0o600))
	_, err = config.Load(environ(map[string]string{"OPERATOR_PASSWORD": "", "OPERATORS_FILE": path}))
	require.Equal(t, config.Problems{{
		Variable: "OPERATORS_FILE", Text: "line 1 has no argon2id hash; 'conciliar operators hash' prints such a line",
	}}, problemsOf(t, err))
}

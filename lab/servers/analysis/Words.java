package lab;

import java.util.List;
import java.util.regex.Pattern;
import org.apache.lucene.analysis.TokenStream;
import org.apache.lucene.analysis.Tokenizer;
import org.apache.lucene.analysis.email.UAX29URLEmailTokenizer;
import org.apache.lucene.analysis.miscellaneous.RemoveDuplicatesTokenFilter;
import org.apache.lucene.analysis.pattern.PatternCaptureGroupTokenFilter;
import org.elasticsearch.plugin.Inject;
import org.elasticsearch.plugin.NamedComponent;
import org.elasticsearch.plugin.analysis.TokenFilterFactory;
import org.elasticsearch.plugin.analysis.TokenizerFactory;
import org.elasticsearch.plugin.settings.AnalysisSettings;
import org.elasticsearch.plugin.settings.BooleanSetting;
import org.elasticsearch.plugin.settings.ListSetting;

/** What the index of API keys needs to split addresses of mail, and what Maven Central's build of the server lacks. */
public final class Words {
    /** Splits a text into words and whole addresses. */
    @NamedComponent("uax_url_email")
    public static final class Addresses implements TokenizerFactory {
        @Override
        public Tokenizer create() {
            return new UAX29URLEmailTokenizer();
        }
    }

    /** Adds the parts of a word that regular expressions capture. */
    @NamedComponent("pattern_capture")
    public static final class Parts implements TokenFilterFactory {
        private final Pattern[] patterns;
        private final boolean original;

        @Inject
        public Parts(Settings settings) {
            patterns = settings.patterns().stream().map(Pattern::compile).toArray(Pattern[]::new);
            original = settings.original();
        }

        @Override
        public TokenStream create(TokenStream words) {
            return new PatternCaptureGroupTokenFilter(words, original, patterns);
        }

        /** The settings as an index names them. */
        @AnalysisSettings
        public interface Settings {
            @ListSetting(path = "patterns")
            List<String> patterns();

            @BooleanSetting(path = "preserve_original", defaultValue = true)
            boolean original();
        }
    }

    /** Leaves out a word that stands twice at one place. */
    @NamedComponent("unique")
    public static final class Once implements TokenFilterFactory {
        @Override
        public TokenStream create(TokenStream words) {
            return new RemoveDuplicatesTokenFilter(words);
        }
    }
}

// BouncyCastle, which nobody here wrote, over our CMS objects, and making such objects itself.
//
// Reads one job a line from standard input, words separated by tabs, and answers each with one line: "ok ..." or "refused: ...".
//   open    key.p8 certificate.der sealed out        seal    certificate.der plain out
//   verify  root.der signature content               sign    key.p8 leaf.der issuer.der content out
// Started as a single source file: java -cp bcprov.jar:bcpkix.jar:bcutil.jar Bouncy.java

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.Security;
import java.security.cert.CertPathBuilder;
import java.security.cert.CertStore;
import java.security.cert.CollectionCertStoreParameters;
import java.security.cert.PKIXBuilderParameters;
import java.security.cert.TrustAnchor;
import java.security.cert.X509CertSelector;
import java.security.cert.X509Certificate;
import java.security.interfaces.ECPublicKey;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.ArrayList;
import java.util.Hashtable;
import java.util.List;
import java.util.Map;
import java.util.Set;
import javax.crypto.spec.OAEPParameterSpec;
import javax.crypto.spec.PSource;
import java.security.spec.MGF1ParameterSpec;
import org.bouncycastle.asn1.ASN1Encoding;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.DERSet;
import org.bouncycastle.asn1.cms.Attribute;
import org.bouncycastle.asn1.cms.AttributeTable;
import org.bouncycastle.asn1.cms.CMSAttributes;
import org.bouncycastle.asn1.ess.ESSCertIDv2;
import org.bouncycastle.asn1.ess.SigningCertificateV2;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.cert.jcajce.JcaX509CertificateHolder;
import org.bouncycastle.asn1.x509.SubjectKeyIdentifier;
import org.bouncycastle.cms.*;
import org.bouncycastle.cms.jcajce.*;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.operator.ContentSigner;
import org.bouncycastle.operator.OutputAEADEncryptor;
import org.bouncycastle.operator.jcajce.JcaAlgorithmParametersConverter;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.operator.jcajce.JcaDigestCalculatorProviderBuilder;
import org.bouncycastle.util.Store;

public class Bouncy {
    public static void main(String[] unused) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        BufferedReader jobs = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = jobs.readLine()) != null; ) {
            String answer;
            try {
                String[] words = line.split("\t");
                answer = "ok " + switch (words[0]) {
                    case "open" -> open(words[1], words[2], words[3], words[4]);
                    case "seal" -> seal(words[1], words[2], words[3]);
                    case "verify" -> verify(words[1], words[2], words[3]);
                    case "sign" -> sign(words[1], words[2], words[3], words[4], words[5]);
                    default -> throw new IllegalArgumentException("no such job: " + words[0]);
                };
            } catch (Exception | Error error) {
                answer = "refused: " + error.toString().replace('\n', ' ');
            }
            System.out.println(answer);
        }
    }

    static byte[] read(String name) throws Exception {
        return Files.readAllBytes(Path.of(name));
    }

    static X509Certificate certificate(String name) throws Exception {
        return new JcaX509CertificateConverter().setProvider("BC").getCertificate(new X509CertificateHolder(read(name)));
    }

    static PrivateKey key(String name, PublicKey fellow) throws Exception {
        return KeyFactory.getInstance(fellow.getAlgorithm(), "BC").generatePrivate(new PKCS8EncodedKeySpec(read(name)));
    }

    static byte[] keyIdentifier(X509Certificate certificate) throws Exception {
        return SubjectKeyIdentifier.fromExtensions(new JcaX509CertificateHolder(certificate).getExtensions()).getKeyIdentifier();
    }

    static String open(String keyName, String certificateName, String sealed, String out) throws Exception {
        X509Certificate mine = certificate(certificateName);
        PrivateKey key = key(keyName, mine.getPublicKey());
        Recipient reader = mine.getPublicKey() instanceof ECPublicKey
            ? new JceKeyAgreeEnvelopedRecipient(key).setProvider("BC")
            : new JceKeyTransEnvelopedRecipient(key).setProvider("BC");
        for (RecipientInformation one : new CMSAuthEnvelopedData(read(sealed)).getRecipientInfos().getRecipients()) {
            Selectors wanted = new Selectors(keyIdentifier(mine));
            if (wanted.matches(one.getRID())) {
                Files.write(Path.of(out), one.getContent(reader));
                return one.getKeyEncryptionAlgOID();
            }
        }
        throw new CMSException("not sealed to this certificate");
    }

    record Selectors(byte[] keyIdentifier) {
        boolean matches(RecipientId rid) {
            if (rid instanceof KeyAgreeRecipientId) {
                return java.util.Arrays.equals(((KeyAgreeRecipientId) rid).getSubjectKeyIdentifier(), keyIdentifier);
            }
            return rid instanceof KeyTransRecipientId
                && java.util.Arrays.equals(((KeyTransRecipientId) rid).getSubjectKeyIdentifier(), keyIdentifier);
        }
    }

    static String seal(String certificateName, String plain, String out) throws Exception {
        X509Certificate to = certificate(certificateName);
        CMSAuthEnvelopedDataGenerator generator = new CMSAuthEnvelopedDataGenerator();
        if (to.getPublicKey() instanceof ECPublicKey) {
            ECPublicKey theirs = (ECPublicKey) to.getPublicKey();
            KeyPairGenerator pairs = KeyPairGenerator.getInstance("EC", "BC");
            pairs.initialize(theirs.getParams());
            KeyPair mine = pairs.generateKeyPair();
            ASN1ObjectIdentifier scheme = theirs.getParams().getOrder().bitLength() > 256
                ? CMSAlgorithm.ECDH_SHA384KDF : CMSAlgorithm.ECDH_SHA256KDF;
            generator.addRecipientInfoGenerator(
                new JceKeyAgreeRecipientInfoGenerator(scheme, mine.getPrivate(), mine.getPublic(), CMSAlgorithm.AES256_WRAP)
                    .addRecipient(keyIdentifier(to), theirs).setProvider("BC"));
        } else {
            OAEPParameterSpec oaep = new OAEPParameterSpec("SHA-256", "MGF1", MGF1ParameterSpec.SHA256, PSource.PSpecified.DEFAULT);
            generator.addRecipientInfoGenerator(new JceKeyTransRecipientInfoGenerator(keyIdentifier(to),
                new JcaAlgorithmParametersConverter().getAlgorithmIdentifier(PKCSObjectIdentifiers.id_RSAES_OAEP, oaep), to.getPublicKey())
                    .setProvider("BC"));
        }
        OutputAEADEncryptor cipher = (OutputAEADEncryptor) new JceCMSContentEncryptorBuilder(CMSAlgorithm.AES256_GCM).setProvider("BC").build();
        CMSAuthEnvelopedData sealed = generator.generate(new CMSProcessableByteArray(read(plain)), cipher);
        Files.write(Path.of(out), sealed.toASN1Structure().getEncoded(ASN1Encoding.DER));
        return "sealed";
    }

    static String verify(String rootName, String signature, String content) throws Exception {
        CMSSignedData signed = new CMSSignedData(new CMSProcessableByteArray(read(content)), read(signature));
        Store<X509CertificateHolder> inside = signed.getCertificates();
        String names = "";
        if (signed.getSignerInfos().size() == 0) {
            throw new CMSException("nobody signed");
        }
        for (SignerInformation signer : signed.getSignerInfos()) {
            @SuppressWarnings("unchecked")
            X509CertificateHolder leaf = (X509CertificateHolder) inside.getMatches(signer.getSID()).iterator().next();
            if (!signer.verify(new JcaSimpleSignerInfoVerifierBuilder().setProvider("BC").build(leaf))) {
                throw new CMSException("the signature does not verify");
            }
            path(rootName, leaf, inside);
            names += leaf.getSubject();
        }
        return names;
    }

    static void path(String rootName, X509CertificateHolder leaf, Store<X509CertificateHolder> inside) throws Exception {
        List<X509Certificate> pool = new ArrayList<>();
        for (X509CertificateHolder one : inside.getMatches(null)) {
            pool.add(new JcaX509CertificateConverter().setProvider("BC").getCertificate(one));
        }
        X509CertSelector target = new X509CertSelector();
        target.setCertificate(new JcaX509CertificateConverter().setProvider("BC").getCertificate(leaf));
        PKIXBuilderParameters asked = new PKIXBuilderParameters(Set.of(new TrustAnchor(certificate(rootName), null)), target);
        asked.addCertStore(CertStore.getInstance("Collection", new CollectionCertStoreParameters(pool), "BC"));
        asked.setRevocationEnabled(false);
        CertPathBuilder.getInstance("PKIX", "BC").build(asked);
    }

    static String sign(String keyName, String leafName, String issuerName, String content, String out) throws Exception {
        X509Certificate leaf = certificate(leafName);
        ContentSigner signer = new JcaContentSignerBuilder("SHA256withECDSA").setProvider("BC").build(key(keyName, leaf.getPublicKey()));
        byte[] hash = java.security.MessageDigest.getInstance("SHA-256").digest(leaf.getEncoded());
        Hashtable<ASN1ObjectIdentifier, Attribute> extra = new Hashtable<>();
        extra.put(PKCSObjectIdentifiers.id_aa_signingCertificateV2, new Attribute(PKCSObjectIdentifiers.id_aa_signingCertificateV2,
            new DERSet(new SigningCertificateV2(new ESSCertIDv2(hash)))));
        CMSAttributeTableGenerator attributes = new DefaultSignedAttributeTableGenerator(new AttributeTable(extra)) {
            @Override
            public AttributeTable getAttributes(Map parameters) {
                return super.getAttributes(parameters).remove(CMSAttributes.cmsAlgorithmProtect);
            }
        };
        CMSSignedDataGenerator generator = new CMSSignedDataGenerator();
        generator.addSignerInfoGenerator(new SignerInfoGeneratorBuilder(new JcaDigestCalculatorProviderBuilder().setProvider("BC").build())
            .setSignedAttributeGenerator(attributes).build(signer, keyIdentifier(leaf)));
        generator.addCertificate(new JcaX509CertificateHolder(leaf));
        generator.addCertificate(new JcaX509CertificateHolder(certificate(issuerName)));
        CMSSignedData signed = generator.generate(new CMSProcessableByteArray(read(content)), false);
        Files.write(Path.of(out), signed.toASN1Structure().getEncoded(ASN1Encoding.DER));
        return "signed";
    }
}
